"""Write a merged release into the repository, so that it can be killed at any point: then it is resumed or undone.

Everything is made in a folder of the git directory first. Then the index is moved into place, so that UNDO knows every
file, and then each file by one rename. This module imports gitcommand alone: after a kill the others may be half new.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from ..gitcommand import git

UNDO = "git add --update . && git restore --source=HEAD --staged --worktree ."  # files in conflict too
LINK, RECORD = RECORDS = (".cruft.json", ".template-answers.json")  # written last
Changes = dict[str, str | None]  # "MODE OBJECT" for each path that is written, None for one that is removed


class Journal:
    """The folder, which is there while the repository is written to."""

    def __init__(self, team: Path) -> None:
        self.team, self.prefix = team, git(team, "rev-parse", "--show-prefix").rstrip("\n")
        self.folder = self.git_path("mlops-upgrade" + self.prefix.rstrip("/").replace("/", "-"))
        self.files = self.folder / "files" / self.prefix

    def git_path(self, name: str) -> Path:
        return self.team / git(self.team, "rev-parse", "--git-path", name).rstrip("\n")

    def interrupted(self) -> bool:
        """Whether the repository was written to and not to the end, and nobody has undone it."""
        begun = self.folder.is_dir() and not (self.folder / "index").exists()
        return begun and bool(git(self.team, "diff", "--cached", "--name-only", "--", *RECORDS))

    def put_aside(self) -> None:
        """Bring the last commit back; what was written, and edited since, becomes a stash."""
        self.git_path("index.lock").unlink(missing_ok=True)  # of a git that was killed with us
        git(self.team, "add", "--all", ".")
        if written := git(self.team, "stash", "create").strip():
            git(self.team, "stash", "store", "--message", "what an interrupted upgrade wrote", written)
        git(self.team, "restore", "--source=HEAD", "--staged", "--worktree", ".")
        self.discard()

    def write(self, changes: Changes, conflicts: dict[str, dict[str, str]]) -> None:
        """Write the changes; `conflicts` has an entry for each side of a path."""
        self.discard()
        half = self.folder.with_name(self.folder.name + ".half")
        shutil.rmtree(half, ignore_errors=True)
        self.prepare(half, changes, conflicts)
        if self.git_path("index.lock").exists():
            raise OSError("another git is at work here, or was killed: there is a file index.lock in .git")
        half.rename(self.folder)
        (self.folder / "index").replace(self.git_path("index"))
        for path in (path for path, entry in changes.items() if not entry):
            (self.team / path).unlink()
            for parent in list(Path(path).parents)[:-1]:
                with suppress(OSError):  # not empty
                    (self.team / parent).rmdir()
        written = (path for path, entry in changes.items() if entry)
        for path in sorted(written, key=lambda path: (path in RECORDS, path)):
            (self.team / path).parent.mkdir(parents=True, exist_ok=True)
            (self.files / path).replace(self.team / path)
        self.discard()

    def prepare(self, half: Path, changes: Changes, conflicts: dict[str, dict[str, str]]) -> None:
        files = half / "files"
        files.mkdir(parents=True)
        shutil.copyfile(self.git_path("index"), half / "index")
        git_dir = git(self.team, "rev-parse", "--absolute-git-dir").rstrip("\n")
        # This work tree has no attributes but those in the new index: files are checked out by them.
        place = {"GIT_DIR": git_dir, "GIT_WORK_TREE": str(files), "GIT_INDEX_FILE": str(half / "index")}

        def update(lines: list[str]) -> None:
            git(files, "update-index", "-z", "--index-info", stdin="".join(lines), variables=place)

        gone = "0 " + "0" * len(git(self.team, "rev-parse", "HEAD").strip())
        update([f"{entry or gone}\t{self.prefix}{path}\0" for path, entry in changes.items()])
        names = "".join(f"{self.prefix}{path}\0" for path, entry in changes.items() if entry)
        git(files, "checkout-index", "--force", "-z", "--stdin", stdin=names, variables=place)
        for path, sides in conflicts.items():
            update([f"{gone}\t{self.prefix}{path}\0"])
            update([f"{entry} {side}\t{self.prefix}{path}\0" for side, entry in sides.items()])

    def discard(self) -> None:
        """Remove the folder; half of one is never found under its name."""
        rest = self.folder.with_name(self.folder.name + ".rest")
        shutil.rmtree(rest, ignore_errors=True)
        if self.folder.is_dir():
            self.folder.rename(rest)
            shutil.rmtree(rest, ignore_errors=True)
