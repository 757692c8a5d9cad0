"""Merge what a release changes into the team's last commit, by `git merge-tree`, and find what no merge sees.

It happens in a repository of its own, which has the team's objects and not its settings. A tree is a dictionary here,
"MODE OBJECT" by path: a path is compared and handed to git, never opened, so that no setting and no answer reaches a
file.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..gitcommand import git, listed

Tree = dict[str, str]
SETTINGS = (
    f"core.attributesFile={os.devnull}",
    "core.autocrlf=false",
    # The team's edits follow a file that the template renamed, but no file that only the team has is moved.
    "merge.directoryRenames=false",
    "merge.renameLimit=10000",
    "merge.renormalize=true",  # a release may change line ends
)
PIN = re.compile(r"""(?m)^[\s"'-]*([\w.-]+)(?:\[.*?\])?==""")
NOBODY = {f"GIT_{who}_{what}": "upgrade" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ISOLATED = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}


class Merged(NamedTuple):
    """The merged tree, and what people must know of it."""

    tree: Tree
    conflicts: dict[str, Tree]  # the sides of each path
    stays_deleted: list[str]  # the team deleted them, the template changed them
    kept: list[str]  # the template no longer has them; the team edited them, or they are the team's


class Scratch:
    """An empty repository with the team's objects; the attributes are those of the newer render."""

    def __init__(self, team: Path, folder: Path, newer: Path) -> None:
        self.folder, self.newer = folder, newer
        form = git(team, "rev-parse", "--show-object-format").strip()
        git(folder, "init", "--quiet", "--bare", f"--object-format={form}", "merge.git")
        objects = team / git(team, "rev-parse", "--git-path", "objects").rstrip("\n")
        place = {"GIT_DIR": str(folder / "merge.git"), "GIT_OBJECT_DIRECTORY": str(objects), "GIT_WORK_TREE": "."}
        self.variables = place | NOBODY | ISOLATED

    def git(self, *arguments: str, stdin: str | None = None, fine: tuple = (0,), render: Path | None = None) -> str:
        folder = render or self.newer
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        return git(folder, *settings, *arguments, stdin=stdin, fine=fine, variables=self.variables)

    def read(self, tree: str) -> Tree:
        self.git("read-tree", tree)
        return self.listed()

    def listed(self, *patterns: str) -> Tree:
        entries = (entry.split(" 0\t", 1) for entry in listed(self.git("ls-files", "--stage", "-z", ".", *patterns)))
        return {path: entry for entry, path in entries}

    def without(self, tree: Tree, patterns: Iterable[str]) -> Tree:
        """Return the tree without the files that a pattern names, or a folder above them; ** is any folders."""
        self.write(tree)
        return self.listed(*(f":(exclude,glob){pattern}{rest}" for pattern in patterns for rest in ("", "/**")))

    def write(self, tree: Tree) -> str:
        self.git("read-tree", "--empty")
        lines = "".join(f"{entry}\t{path}\0" for path, entry in tree.items())
        self.git("update-index", "-z", "--index-info", stdin=lines)
        return self.git("write-tree").strip()

    def add(self, render: Path) -> str:
        self.git("read-tree", "--empty")
        self.git("add", "--all", "--force", ".", render=render)
        return self.git("write-tree").strip()

    def text(self, entry: str) -> str:
        return self.git("cat-file", "blob", entry.split()[1])


def replaced_folders(team: Tree, base: Tree, new: Tree) -> set[str]:
    """Return the files, links and submodules that the team has where the template has a folder."""
    folders = {str(parent) for path in {*base, *new} for parent in Path(path).parents}
    return {path for path in folders & set(team) if team[path] != base.get(path)}


def sides(unmerged: list[str]) -> dict[str, Tree]:
    """Return the entries of each path in conflict, by side: 1 the base, 2 the team, 3 the template."""
    found: dict[str, Tree] = {}
    for item in unmerged:
        entry, path = item.split("\t", 1)
        found.setdefault(path, {})[entry[-1]] = entry[:-2]
    return found


def merge(scratch: Scratch, team: Tree, base: Tree, new: Tree, label: str, owned: Callable[[str], bool]) -> Merged:
    first = scratch.git("commit-tree", scratch.write(base), "-m", "base").strip()
    for name, side in (("yours", team), (label, new)):  # the names are in the marks of conflicts
        commit = scratch.git("commit-tree", scratch.write(side), "-p", first, "-m", name).strip()
        scratch.git("update-ref", f"refs/heads/{name}", commit)
    told = scratch.git("merge-tree", "--write-tree", "--no-messages", "-z", "yours", label, fine=(0, 1))
    tree, *entries = listed(told)
    merged = Merged(scratch.read(tree), {}, [], [])
    for path, found in sides(entries).items():
        match "".join(sorted(found)):
            case "13":  # deleted by the team, changed or renamed by the template
                del merged.tree[path]
                merged.stays_deleted.append(path)
            case "12":  # edited by the team, removed by the template
                merged.kept.append(path)
            case "1":  # renamed by both: the new names have entries of their own
                merged.tree.pop(path, None)
            case _:
                merged.conflicts[path] = found
    for path, now in gone(scratch, base, new).items():
        if now is None and path in team and path not in merged.tree and owned(path):
            merged.tree[path] = team[path]  # something of the team's may use it
            merged.kept.append(path)
    return merged


def gone(scratch: Scratch, base: Tree, new: Tree) -> dict[str, str | None]:
    """Return the files that the new version has no longer, with their new names."""
    trees = scratch.write(base), scratch.write(new)
    fields = iter(listed(scratch.git("diff", "--find-renames", "--diff-filter=DR", "--name-status", "-z", *trees)))
    return {next(fields): next(fields) if status[0] == "R" else None for status in fields}


def uses(path: str) -> re.Pattern:
    """Return the pattern of what uses a file: its path, or as a module its name, alone or imported from its package."""
    module = re.fullmatch(r"src/(\w+(?:/\w+)*?)/(\w+?)(/__init__)?\.py", path)
    if not module:
        return re.compile(rf"(?<![\w./-]){re.escape(path)}(?![\w/-])")
    package, name = module[1].replace("/", r"\."), module[2]
    return re.compile(rf"\b{package}\.{name}\b|\bfrom\s+{package}\s+import\s+(\([^)]*?|[^\n(]*?)\b{name}\b")


def still_used(scratch: Scratch, merged: Merged, base: Tree, new: Tree) -> Iterator[str]:
    """Say which lines of the team's use a file that the release removed or renamed."""
    missing = {path: now for path, now in gone(scratch, base, new).items() if path not in merged.tree}
    words = [word for path in missing for word in ("-e", Path(path.replace("/__init__.py", "")).stem)]
    found = listed(scratch.git("grep", "-lzIF", *words, scratch.write(merged.tree), fine=(0, 1))) if words else []
    for path in (name.partition(":")[2] for name in found):
        text = scratch.text(merged.tree[path])
        lines, templates = text.splitlines(), scratch.text(new[path]).splitlines() if path in new else []
        for old, now in missing.items():
            for number in {text.count("\n", 0, use.end()) for use in uses(old).finditer(text)}:
                if lines[number] not in templates and path not in merged.conflicts:
                    is_now = f"is {now} now" if now else "the template no longer has"
                    yield f"{path}:{number + 1} uses {old}, which {is_now}"


def pinned_twice(scratch: Scratch, merged: Merged, team: Tree, new: Tree) -> Iterator[str]:
    """Say which libraries both sides pinned, in lines of their own."""
    for path in merged.tree.keys() & team.keys() & new.keys() - merged.conflicts.keys():
        if merged.tree[path] not in (team[path], new[path]) and path.endswith((".toml", ".txt", ".yml")):
            both, ours, theirs = (Counter(PIN.findall(scratch.text(side[path]))) for side in (merged.tree, team, new))
            yield from (f"{path} pins {library} twice: keep one of the lines" for library in both - (ours | theirs))
