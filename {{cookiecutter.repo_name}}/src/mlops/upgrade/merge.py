"""Join the template's changes with the team's: git's own three-way merge, in a scratch folder.

The base is what the template rendered for the version that the team has, one side what it renders for the new version,
the other side the team's last commit. Objects go straight into the team's object store, where `git gc` drops what
nothing refers to; the team's files and index are touched by `apply` alone.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..gitcommand import GitError, git, listed

# Rewritten at every upgrade, never merged: which template, which version, which answers.
RECORDS = (".cruft.json", ".template-answers.json")
NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "upgrade"), ("EMAIL", "upgrade@localhost"))
}
# Renames: the team's edits follow a file that the template renamed, but no file that only the team has is moved.
SETTINGS = """
[core]
	hooksPath = /dev/null
	autocrlf = false
[commit]
	gpgSign = false
[merge]
	renames = true
	directoryRenames = false
	renameLimit = 10000
	conflictStyle = merge
	verifySignatures = false
[rerere]
	enabled = false
"""


class Change(NamedTuple):
    """One file of the team's that the upgrade changes; `was` is its name before, when that is another."""

    kind: str  # new, changed, renamed, removed
    path: str
    was: str | None
    lines: str


class Merged(NamedTuple):
    """The joined tree, and what people must know of it."""

    tree: str
    changes: list[Change]
    conflicts: list[str]  # the paths that hold both sides
    stages: list[str]  # git's entries for them, as update-index --index-info reads them
    stays_deleted: list[str]  # the team deleted them, the template changed them
    kept: list[str]  # the template no longer has them; the team edited them, or they are the team's


class Scratch:
    """A scratch repository that shares the team's object store and none of its files."""

    def __init__(self, team: Path, folder: Path) -> None:
        self.team, self.folder = team, folder
        folder.mkdir()
        format_ = git(team, "rev-parse", "--show-object-format").strip()
        git(folder, "init", "--quiet", f"--object-format={format_}")
        with (folder / ".git/config").open("a", encoding="utf-8") as config:
            config.write(SETTINGS)
        objects = team / git(team, "rev-parse", "--git-path", "objects").rstrip("\n")
        self.environment = {"GIT_OBJECT_DIRECTORY": str(objects), "GIT_LFS_SKIP_SMUDGE": "1", **NOBODY}

    def git(self, *arguments: str, variables: dict[str, str] | None = None) -> str:
        return git(self.folder, *arguments, variables=self.environment | (variables or {}))

    def tree_of(self, rendered: Path) -> str:
        """Return everything in a folder as a tree, but the records."""
        place = {"GIT_WORK_TREE": str(rendered), "GIT_DIR": str(self.folder / ".git")}
        place["GIT_INDEX_FILE"] = str(self.folder / ".git" / "index-of-render")
        self.git("read-tree", "--empty", variables=place)
        self.git("add", "--all", "--force", ".", variables=place)
        self.git("rm", "--cached", "--quiet", "--ignore-unmatch", "--", *RECORDS, variables=place)
        return self.git("write-tree", variables=place).strip()

    def commit(self, tree: str, *parents: str) -> str:
        arguments = [part for parent in parents for part in ("-p", parent)]
        return self.git("commit-tree", tree, *arguments, "-m", "upgrade").strip()

    def blob(self, file: Path) -> str:
        return self.git("hash-object", "-w", "--no-filters", "--", str(file)).strip()

    def entries(self, tree: str) -> dict[str, str]:
        """Return each path of a tree with its mode and object."""
        found = {}
        for entry in listed(self.git("ls-tree", "-r", "-z", tree)):
            description, path = entry.split("\t", 1)
            mode, _, oid = description.split(" ")
            found[path] = f"{mode} {oid}"
        return found

    def set(self, path: str, entry: str) -> None:
        self.git("update-index", "--add", "--cacheinfo", f"{entry.replace(' ', ',')},{path}")

    def drop(self, path: str) -> None:
        self.git("rm", "--cached", "--quiet", "--force", "--ignore-unmatch", "--", f":(literal){path}")


def without(rendered: Path, skip: list[str]) -> None:
    """Remove what cruft's `skip` names, read as cruft reads it: a path, or a pattern when it holds a *."""
    for item in skip:
        for path in sorted(rendered.glob(item) if "*" in item else [rendered / item], reverse=True):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()


def merge(team: Path, old: Path, new: Path, label: str, owned: Callable[[str], bool], folder: Path) -> Merged:
    """Merge what `new` changed since `old` into the team's last commit. `owned` is called with a path: the team's?"""
    scratch = Scratch(team, folder)
    head = git(team, "rev-parse", "HEAD^{tree}").strip()
    base_tree, new_tree = scratch.tree_of(old), scratch.tree_of(new)
    base = scratch.commit(base_tree)
    theirs, ours = scratch.commit(new_tree, base), scratch.commit(head, base)
    scratch.git("update-ref", f"refs/heads/{label}", theirs)
    scratch.git("checkout", "--quiet", "--force", "--detach", ours)
    try:
        scratch.git("merge", "--quiet", "--no-commit", "--no-ff", label)
    except GitError:
        if not scratch.git("ls-files", "--unmerged"):
            raise
    conflicts, stages, stays_deleted, kept = settle(scratch, scratch.entries(head))
    kept += keep_the_teams(scratch, base_tree, new_tree, head, owned)
    for name in RECORDS:
        scratch.set(name, f"100644 {scratch.blob(new / name)}")
    tree = scratch.git("write-tree").strip()
    return Merged(tree, changes(scratch, head, tree), conflicts, stages, stays_deleted, sorted(kept))


def settle(scratch: Scratch, team: dict[str, str]) -> tuple[list[str], list[str], list[str], list[str]]:
    """Settle the conflicts that need no person, and leave both sides of the others in the index.

    Stage 1 is the base, 2 the team's, 3 the template's.
    """
    stages: dict[str, dict[str, str]] = {}
    for entry in listed(scratch.git("ls-files", "--unmerged", "-z")):
        description, path = entry.split("\t", 1)
        mode, oid, stage = description.split(" ")
        stages.setdefault(path, {})[stage] = f"{mode} {oid}"
    conflicts, entries, stays_deleted, kept = [], [], [], []
    for path, sides in sorted(stages.items()):
        match "".join(sorted(sides)):
            case "13":  # deleted by the team, changed or renamed by the template
                scratch.drop(path)
                stays_deleted.append(path)
            case "12":  # edited by the team, removed by the template
                scratch.drop(path)
                scratch.set(path, team.get(path, sides["2"]))
                kept.append(path)
            case "1":  # renamed by both, to two names, which have stages of their own
                scratch.drop(path)
            case _:
                scratch.git("add", "--force", "--", f":(literal){path}")
                conflicts.append(path)
                entries += [f"{entry} {stage}\t{path}" for stage, entry in sorted(sides.items())]
    return conflicts, entries, stays_deleted, kept


def keep_the_teams(scratch: Scratch, base: str, new: str, head: str, owned: Callable[[str], bool]) -> list[str]:
    """Take back the removal of files that are the team's: something of theirs may use them."""
    team, now = scratch.entries(head), set(listed(scratch.git("ls-files", "-z")))
    # With --find-renames a renamed file is no removed one.
    removed = listed(scratch.git("diff", "--find-renames", "--diff-filter=D", "--name-only", "-z", base, new))
    kept = [path for path in removed if path in team and path not in now and owned(path)]
    for path in kept:
        scratch.set(path, team[path])
    return kept


def changes(scratch: Scratch, head: str, tree: str) -> list[Change]:
    kinds = {"A": "new", "M": "changed", "T": "changed", "R": "renamed", "D": "removed"}
    fields = iter(listed(scratch.git("diff", "--find-renames", "--name-status", "-z", head, tree)))
    found = []
    for status in fields:
        first = next(fields)
        path = next(fields) if status[0] == "R" else first
        found.append(Change(kinds[status[0]], path, first if status[0] == "R" else None, ""))
    counts = {}
    fields = iter(listed(scratch.git("diff", "--find-renames", "--numstat", "-z", head, tree)))
    for line in fields:
        added, gone, path = line.split("\t")
        if not path:  # renamed: both names follow
            _, path = next(fields), next(fields)
        counts[path] = "binary" if added == "-" else f"+{added} -{gone}"
    return [change._replace(lines=counts.get(change.path, "")) for change in found]


def in_the_way(team: Path, merged: Merged) -> list[str]:
    """Return files that git ignores where the upgrade would put a file."""
    found = set()
    for path in listed(git(team, "diff", "--no-renames", "--diff-filter=A", "--name-only", "-z", "HEAD", merged.tree)):
        parents = [team / part for part in list(Path(path).parents)[:-1]]
        found |= {
            str(parent.relative_to(team))
            for parent in parents
            if parent.is_symlink() or (parent.exists() and not parent.is_dir())
        }
        if os.path.lexists(team / path):
            found.add(path)
    tracked = set(listed(git(team, "ls-files", "-z")))
    return sorted(found - tracked)


def apply(team: Path, merged: Merged) -> None:
    """Put the merged tree into the team's index and files.

    The index comes first: from then on `git reset --hard` knows of every file that this may have written.
    """
    names = ("diff", "--no-renames", "--name-only", "-z")
    removed = listed(git(team, *names, "--diff-filter=D", "HEAD", merged.tree))
    written = listed(git(team, *names, "--diff-filter=d", "HEAD", merged.tree))
    git(team, "read-tree", "-m", merged.tree)
    for path in removed:
        (team / path).unlink(missing_ok=True)
        for parent in list(Path(path).parents)[:-1]:
            with suppress(OSError):  # not empty
                (team / parent).rmdir()
    git(team, "checkout-index", "--force", "-u", "-z", "--stdin", stdin="".join(f"{path}\0" for path in written))
    zero = "0" * len(merged.tree)
    lines = [f"0 {zero}\t{path}" for path in merged.conflicts] + merged.stages
    git(team, "update-index", "-z", "--index-info", stdin="".join(f"{line}\0" for line in lines))
