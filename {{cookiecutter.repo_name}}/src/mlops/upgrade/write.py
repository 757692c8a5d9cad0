"""Write a merged release into the repository, so that it can be killed at any point: then it is made again or undone.

First the index gets every change but the record, so that UNDO knows every file. Then git writes the files, the record
last; then the index gets the record. An index without it tells of an upgrade that was interrupted. This module imports
gitcommand alone: after a kill the others may be half new.
"""

import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..gitcommand import git

LINK, RECORD = RECORDS = (".cruft.json", ".template-answers.json")
RESTORE = ("restore", "--source=HEAD", "--staged", "--worktree", ".")
UNDO = f"git add --update . && git {' '.join(RESTORE)}"  # add: files in conflict too


def git_path(team: Path, name: str) -> Path:
    return team / git(team, "rev-parse", "--git-path", name).rstrip("\n")


def recover(team: Path, check: bool) -> None:
    """Take back what an interrupted upgrade wrote: it becomes a stash, with what was edited since."""
    if not git(team, "diff", "--cached", "--diff-filter=D", "--name-only", "--", RECORD):
        return
    if check:
        sys.exit(f"An upgrade was interrupted. Make it again: make upgrade\nOr undo what it wrote: {UNDO}")
    git_path(team, "index.lock").unlink(missing_ok=True)  # of a git that was killed with us
    git(team, "add", "--all", "--", ".", f":!{RECORD}")
    written = git(team, "stash", "create").strip()
    git(team, "stash", "store", "--message", "what an interrupted upgrade wrote", written)
    git(team, *RESTORE)
    print("An upgrade was interrupted, and is made again now. What it had written, and what you have edited since,")
    print("is put aside in a stash. If you edited nothing: git stash drop", flush=True)


def write(team: Path, scratch: Path, changes: dict[str, str | None], conflicts: Mapping[str, dict[str, str]]) -> None:
    """Write the changes, "MODE OBJECT" by path, with the record among them; `conflicts` has the sides of a path."""
    real, ours, files = git_path(team, "index"), scratch / "index", scratch / "index-of-files"
    prefix = git(team, "rev-parse", "--show-prefix").rstrip("\n")
    no_entry = "0 " + git(team, "rev-parse", "HEAD").strip()

    def with_index(file: Path, *arguments: str, stdin: str | None = None) -> str:
        return git(team, *arguments, stdin=stdin, variables={"GIT_INDEX_FILE": str(file)})

    def update(entries: Iterable[tuple[str, str | None]]) -> None:
        lines = "".join(f"{entry or no_entry}\t{prefix}{path}\0" for path, entry in entries)
        with_index(ours, "update-index", "-z", "--index-info", stdin=lines)

    def publish() -> None:
        """Make ours the repository's by one rename: a git that is killed would leave a lock."""
        if real.with_name("index.lock").exists():
            raise OSError("another git is at work here, or was killed: there is a file index.lock in .git")
        shutil.copyfile(ours, real.with_name("index.upgrade")).replace(real)

    for copy in (ours, files):
        shutil.copyfile(real, copy)
    record, trees = {RECORD: changes.pop(RECORD)}, []
    for part in (changes, record):
        update(part.items())
        trees.append(with_index(ours, "write-tree").strip())
    update((path, None) for path in (RECORD, *conflicts))
    update((path, f"{entry} {side}") for path, sides in conflicts.items() for side, entry in sides.items())
    publish()
    with_index(files, "update-index", "-q", "--refresh")
    for tree in trees:
        with_index(files, "read-tree", "-m", "-u", tree)
    update(record.items())
    publish()
