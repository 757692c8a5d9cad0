"""Merge a release into the team's last commit by `git merge-tree`, and find what no merge sees.

The merge has a repository of its own, with the team's objects and not its settings. A tree is a dictionary here, "MODE
TYPE OBJECT" by path. A path is compared and handed to git, never opened: no setting and no answer reaches a file.
"""

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from glob import escape
from pathlib import Path

from ..gitcommand import git, git_path, listed
from . import RECORD, RECORDS
from .repositories import Team

Tree = dict[str, str]
SETTINGS = {
    "core.attributesFile": os.devnull,
    "merge.directoryRenames": "false",  # when the template renames a folder, what only the team has there stays
    "merge.renormalize": "true",  # a release may change line ends
    "user.name": "upgrade",
    "user.email": "upgrade",
}
ISOLATED = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
PIN = re.compile(r"""(?m)^[\s"'-]*([\w.-]+)(?:\[.*?\])?==""")


class Scratch:
    """The merge's repository. git takes its attributes from the newer render."""

    def __init__(self, team: Path, folder: Path, newer: Path) -> None:
        form = git(team, "rev-parse", "--show-object-format").strip()
        git(folder, "init", "--quiet", "--bare", f"--object-format={form}", "merge.git")
        place = {"GIT_DIR": str(folder / "merge.git"), "GIT_OBJECT_DIRECTORY": str(git_path(team, "objects"))}
        settings = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
        self.git = partial(git, newer, *settings, variables=ISOLATED | place | {"GIT_WORK_TREE": "."})

    def add(self, folder: Path, skip: Iterable[str] = ()) -> str:
        """Return the tree of a folder without what a pattern names, or a folder above it; ** is any folders."""
        skipped = [f":(exclude,glob){pattern}{rest}" for pattern in skip for rest in ("", "/**")]
        self.git("read-tree", "--empty")
        self.git("-C", str(folder), "add", "--all", "--force", "--", ".", *skipped)
        return self.git("write-tree").strip()

    def read(self, tree: str) -> Tree:
        entries = listed(self.git("ls-tree", "-r", "-z", tree))
        return {path: entry for entry, path in (line.split("\t", 1) for line in entries)}

    def write(self, tree: Tree) -> str:
        self.git("read-tree", "--empty")
        self.git("update-index", "-z", "--index-info", stdin="".join(f"{tree[path]}\t{path}\0" for path in tree))
        return self.git("write-tree").strip()

    def merge(self, base: str, ours: str, new: str, label: str) -> tuple[Tree, dict[str, list[str]]]:
        """Return the merged tree, and the sides of the conflicts."""
        first = self.git("commit-tree", base, "-m", "base").strip()
        for name, tree in (("yours", ours), (label, new)):  # the names are in the marks of conflicts
            commit = self.git("commit-tree", tree, "-p", first, "-m", name).strip()
            self.git("update-ref", f"refs/heads/{name}", commit)
        told = self.git("merge-tree", "--write-tree", "--no-messages", "-z", "yours", label, fine=(0, 1))
        tree, _, unmerged = told.partition("\0")
        return self.read(tree), sides(unmerged)


def sides(unmerged: str) -> dict[str, list[str]]:
    """Return "MODE OBJECT STAGE" of each side of a path in conflict; stage 1 is the base, 2 yours, 3 the template's."""
    found: dict[str, list[str]] = {}
    for side, path in (line.split("\t", 1) for line in listed(unmerged)):
        found.setdefault(path, []).append(side)
    return found


class Merge:
    """The merged tree, the conflicts, and in `told` what people must know of the rest."""

    def __init__(self, team: Team, scratch: Scratch, renders: list[Path], label: str, linked: bool) -> None:
        self.scratch, self.ours = scratch, scratch.read(team.tree)
        base, new = (scratch.read(scratch.add(render)) for render in renders)
        records = {name: new[name] for name in RECORDS if linked or name == RECORD}
        folders = {str(parent) for path in {*base, *new} for parent in Path(path).parents}
        left_out = [path for path in self.ours if path in folders and self.ours[path] != base.get(path)]
        skip = [*RECORDS, *team.skip, *map(escape, left_out)]
        base, self.new = (scratch.read(scratch.add(render, skip)) for render in renders)
        base |= {name: self.ours[name] for name in records if name in self.ours}  # so that the records never conflict
        self.new |= records
        edited = {path for path, _ in self.ours.items() ^ base.items() if path.startswith("src/mlops/")}
        before, after = scratch.write(base), scratch.write(self.new)
        renames = ("diff", "--find-renames", "--diff-filter=DR", "--name-status", "-z", before, after)
        fields = iter(listed(scratch.git(*renames)))
        # The files that the template no longer has, with their new names.
        self.gone = {next(fields): next(fields) if status[0] == "R" else None for status in fields}
        self.tree, self.conflicts = scratch.merge(before, team.tree, after, label)
        deleted = self.settled("13")
        for path in (*deleted, *self.settled("1")):  # 1: renamed by both; the new names are in conflict
            self.tree.pop(path, None)
        removed = self.ours.keys() & {path for path, now in self.gone.items() if not now} - self.tree.keys()
        kept = [*self.settled("12"), *sorted(filter(team.owns, removed))]
        self.tree |= {path: self.ours[path] for path in kept}
        self.told = {
            "Your edits of the template's machinery, which are merged:": sorted(edited),
            "Left out, because you have a file, a link or a submodule in the place of the folder:": left_out,
            "You deleted these, and they stay deleted; the template changed them:": deleted,
            "The template no longer has these. Yours stay; what nothing of yours uses, remove:": [
                f"git rm {shlex.quote(path)}" for path in kept
            ],
        }

    def settled(self, stages: str) -> list[str]:
        """Take out of the conflicts those with these stages alone: git asks, but the answer is known."""
        found = [path for path, entries in self.conflicts.items() if "".join(side[-1] for side in entries) == stages]
        for path in found:
            del self.conflicts[path]
        return found

    def notes(self) -> Iterator[str]:
        """Say which lines of the team's use a file that is gone, and which libraries both sides pinned."""
        gone = {path: now for path, now in self.gone.items() if path not in self.tree}
        words = ["==", *(Path(path.replace("/__init__.py", "")).stem for path in gone)]
        patterns = [part for word in words for part in ("-e", word)]
        found = listed(self.scratch.git("grep", "-lzIF", *patterns, self.scratch.write(self.tree), fine=(0, 1)))
        edited = dict(self.tree.items() - self.new.items()).keys() - self.conflicts.keys()
        for path in sorted(edited & {name.partition(":")[2] for name in found}):
            blobs = [tree.get(path, "").split()[1:] for tree in (self.tree, self.ours, self.new)]
            text, ours, theirs = (self.scratch.git("cat-file", *blob) if blob else "" for blob in blobs)
            lines, templates = text.split("\n"), theirs.split("\n")
            for old, now in gone.items():
                is_now = f"is {now} now" if now else "the template no longer has"
                numbers = {text.count("\n", 0, use.end()) for use in uses(old).finditer(text)}
                used = sorted(number for number in numbers if lines[number] not in templates)
                yield from (f"{path}:{number + 1} uses {old}, which {is_now}" for number in used)
            if path.endswith((".toml", ".txt", ".yml")):
                twice = Counter(PIN.findall(text)) - (Counter(PIN.findall(ours)) | Counter(PIN.findall(theirs)))
                yield from (f"{path} pins {library} twice: keep one of the lines" for library in twice)


def uses(path: str) -> re.Pattern:
    """Return the pattern of what uses a file: its path, or as a module its name, alone or imported from its package."""
    module = re.fullmatch(r"src/(\w+(?:/\w+)*?)/(\w+?)(/__init__)?\.py", path)
    if not module:
        return re.compile(rf"(?<![\w./-]){re.escape(path)}(?![\w/-])")
    package, name = module[1].replace("/", r"\."), module[2]
    return re.compile(rf"\b{package}\.{name}\b|\bfrom\s+{package}\s+import\s+(\([^)]*?|[^\n(]*?)\b{name}\b")
