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

from ..gitcommand import git, listed
from .write import git_path

Tree = dict[str, str]
SETTINGS = (
    f"core.attributesFile={os.devnull}",
    "core.autocrlf=false",
    # The team's edits follow a file that the template renamed, but no file that only the team has is moved.
    "merge.directoryRenames=false",
    "merge.renameLimit=10000",
    "merge.renormalize=true",  # a release may change line ends
    "user.name=upgrade",
    "user.email=upgrade",
)
ISOLATED = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
PIN = re.compile(r"""(?m)^[\s"'-]*([\w.-]+)(?:\[.*?\])?==""")


class Scratch:
    """An empty repository with the team's objects; the attributes are those of the newer render."""

    def __init__(self, team: Path, folder: Path, renders: list[Path]) -> None:
        self.folder, self.newer = folder, renders[1]
        form = git(team, "rev-parse", "--show-object-format").strip()
        git(folder, "init", "--quiet", "--bare", f"--object-format={form}", "merge.git")
        place = {"GIT_DIR": str(folder / "merge.git"), "GIT_OBJECT_DIRECTORY": str(git_path(team, "objects"))}
        self.variables = ISOLATED | place | {"GIT_WORK_TREE": "."}
        self.renders = [self.add(render) for render in renders]

    def git(self, *arguments: str, stdin: str | None = None, fine: tuple[int, ...] = (0,)) -> str:
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        return git(self.newer, *settings, *arguments, stdin=stdin, fine=fine, variables=self.variables)

    def add(self, render: Path) -> str:
        self.git("read-tree", "--empty")
        self.git("-C", str(render), "add", "--all", "--force", ".")
        return self.git("write-tree").strip()

    def read(self, tree: str, skip: Iterable[str] = ()) -> Tree:
        """Return the tree without the files that a pattern names, or a folder above them; ** is any folders."""
        self.git("read-tree", tree)
        skipped = [f":(exclude,glob){pattern}{rest}" for pattern in skip for rest in ("", "/**")]
        entries = listed(self.git("ls-files", "--stage", "-z", ".", *skipped))
        return {path: entry for entry, path in (line.split(" 0\t", 1) for line in entries)}

    def write(self, tree: Tree) -> str:
        self.git("read-tree", "--empty")
        self.git("update-index", "-z", "--index-info", stdin="".join(f"{tree[path]}\t{path}\0" for path in tree))
        return self.git("write-tree").strip()


def sides(unmerged: str) -> dict[str, Tree]:
    """Return the entries of each path in conflict, by side: 1 the base, 2 the team, 3 the template."""
    found: dict[str, Tree] = {}
    for entry, path in (line.split("\t", 1) for line in listed(unmerged)):
        found.setdefault(path, {})[entry[-1]] = entry[:-2]
    return found


class Merge:
    """The merged tree, and what people must know of it."""

    def __init__(self, scratch: Scratch, ours: Tree, base: Tree, new: Tree, label: str, owned: Callable) -> None:
        self.scratch, self.ours = scratch, ours
        folders = {str(parent) for path in {*base, *new} for parent in Path(path).parents}
        self.left_out = [path for path in ours if path in folders and ours[path] != base.get(path)]
        base, self.new = (
            {path: tree[path] for path in tree if not {path, *map(str, Path(path).parents)} & {*self.left_out}}
            for tree in (base, new)
        )
        self.edited = sorted({path for path, _ in ours.items() ^ base.items() if path.startswith("src/mlops/")})
        trees = [scratch.write(tree) for tree in (base, ours, self.new)]
        renames = ("diff", "--find-renames", "--diff-filter=DR", "--name-status", "-z", trees[0], trees[2])
        fields = iter(listed(scratch.git(*renames)))
        # The files that the template has no longer, with their new names.
        self.gone = {next(fields): next(fields) if status[0] == "R" else None for status in fields}
        first = scratch.git("commit-tree", trees[0], "-m", "base").strip()
        for name, tree in (("yours", trees[1]), (label, trees[2])):  # the names are in the marks of conflicts
            commit = scratch.git("commit-tree", tree, "-p", first, "-m", name).strip()
            scratch.git("update-ref", f"refs/heads/{name}", commit)
        told = scratch.git("merge-tree", "--write-tree", "--no-messages", "-z", "yours", label, fine=(0, 1))
        tree, _, unmerged = told.partition("\0")
        self.tree = scratch.read(tree)
        self.conflicts: dict[str, Tree] = {}
        self.stays_deleted: list[str] = []
        self.kept: list[str] = []
        self.settle(sides(unmerged), owned)

    def settle(self, unmerged: dict[str, Tree], owned: Callable[[str], bool]) -> None:
        """Settle what git takes for a conflict and is none, and keep what something of the team's may use."""
        for path, found in unmerged.items():
            match "".join(sorted(found)):
                case "13":  # deleted by the team, changed or renamed by the template
                    del self.tree[path]
                    self.stays_deleted.append(path)
                case "12":  # edited by the team, removed by the template
                    self.kept.append(path)
                case "1":  # renamed by both: the new names have entries of their own
                    self.tree.pop(path, None)
                case _:
                    self.conflicts[path] = found
        for path, now in self.gone.items():
            if now is None and path in self.ours and path not in self.tree and owned(path):
                self.tree[path] = self.ours[path]
                self.kept.append(path)

    def notes(self) -> Iterator[str]:
        """Say which lines of the team's use a file that is gone, and which libraries both sides pinned."""
        gone = {path: now for path, now in self.gone.items() if path not in self.tree}
        words = ["==", *(Path(path.replace("/__init__.py", "")).stem for path in gone)]
        patterns = [part for word in words for part in ("-e", word)]
        found = listed(self.scratch.git("grep", "-lzIF", *patterns, self.scratch.write(self.tree), fine=(0, 1)))
        edited = dict(self.tree.items() - self.new.items()).keys() - self.conflicts.keys()
        for path in sorted(edited & {name.partition(":")[2] for name in found}):
            blobs = [tree.get(path, "").split()[1:] for tree in (self.tree, self.ours, self.new)]
            text, ours, theirs = (self.scratch.git("cat-file", "blob", *blob) if blob else "" for blob in blobs)
            lines, templates = text.splitlines(), theirs.splitlines()
            for old, now in gone.items():
                for number in {text.count("\n", 0, use.end()) for use in uses(old).finditer(text)}:
                    if lines[number] not in templates:
                        is_now = f"is {now} now" if now else "the template no longer has"
                        yield f"{path}:{number + 1} uses {old}, which {is_now}"
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
