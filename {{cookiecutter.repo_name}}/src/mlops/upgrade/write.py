"""Write a merged release into the repository, so that it can be killed at any point: then it is made again or undone.

First the index gets every change but the record, so that UNDO knows every file. Then git writes the files, the record
last; then the index gets the record. An index without it tells of an upgrade that was interrupted. This module imports
gitcommand alone: after a kill the others may be half new.
"""

import shutil
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from ..gitcommand import git

LINK, RECORD = RECORDS = (".cruft.json", ".template-answers.json")
RESTORE = ("restore", "--source=HEAD", "--staged", "--worktree", ".")
Tree = Mapping[str, str | None]
UNDO = f"git add --update . && git {' '.join(RESTORE)}"  # add: files in conflict too


def git_path(team: Path, name: str) -> Path:
    return team / git(team, "rev-parse", "--git-path", name).rstrip("\n")


def interrupted(team: Path) -> bool:
    return bool(git(team, "diff", "--cached", "--diff-filter=D", "--name-only", "--", RECORD))


def put_aside(team: Path) -> None:
    """Bring the last commit back; what was written, and edited since, becomes a stash."""
    git_path(team, "index.lock").unlink(missing_ok=True)  # of a git that was killed with us
    git(team, "add", "--all", "--", ".", f":!{RECORD}")
    written = git(team, "stash", "create").strip()
    git(team, "stash", "store", "--message", "what an interrupted upgrade wrote", written)
    git(team, *RESTORE)


class Index:
    """A copy of the repository's index."""

    def __init__(self, team: Path, file: Path) -> None:
        self.file, self.real = file, git_path(team, "index")
        shutil.copyfile(self.real, file)
        self.top = team / git(team, "rev-parse", "--show-cdup").rstrip("\n")
        self.prefix = git(team, "rev-parse", "--show-prefix").rstrip("\n")
        self.none = "0 " + "0" * len(git(team, "rev-parse", "HEAD").strip())

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        return git(self.top, *arguments, stdin=stdin, variables={"GIT_INDEX_FILE": str(self.file)})

    def update(self, entries: Iterable[tuple[str, str | None]]) -> None:
        """Set "MODE OBJECT" or "MODE OBJECT SIDE" for each path, None for one that goes."""
        lines = "".join(f"{entry or self.none}\t{self.prefix}{path}\0" for path, entry in entries)
        self.git("update-index", "-z", "--index-info", stdin=lines)

    def tree(self) -> str:
        return self.git("write-tree").strip()

    def publish(self) -> None:
        """Make it the repository's by one rename: a git that is killed would leave a lock."""
        if self.real.with_name("index.lock").exists():
            raise OSError("another git is at work here, or was killed: there is a file index.lock in .git")
        shutil.copyfile(self.file, self.real.with_name("index.upgrade")).replace(self.real)


def write(team: Path, scratch: Path, changes: Tree, conflicts: Mapping[str, Tree]) -> None:
    """Write the changes, with the record among them; `conflicts` has the entries of the sides of a path."""
    index, files = Index(team, scratch / "index"), Index(team, scratch / "index-of-files")
    record = (RECORD, changes[RECORD])
    trees = [index.tree()]
    for entries in ([change for change in changes.items() if change != record], [record]):
        index.update(entries)
        trees.append(index.tree())
    sides = [(path, f"{entry} {side}") for path, found in conflicts.items() for side, entry in found.items()]
    index.update([*((path, None) for path in (RECORD, *conflicts)), *sides])
    index.publish()
    files.git("update-index", "-q", "--refresh")
    for old, new in pairwise(trees):
        files.git("read-tree", "-m", "-u", old, new)
    index.update([record])
    index.publish()
