"""The team's repository: what is committed in it, and whether an upgrade may begin."""

import json
import re
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError, git, listed
from .write import LINK, RECORD

START = "git add --all . && git commit --message 'Start from the template'"
UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


def record_of(text: str) -> tuple[str, dict]:
    """Return the version that a repository was made from, and the answers."""
    try:
        record = json.loads(text)
        version, answers = record["template_version"], record["answers"]
        if not re.fullmatch(r"\d+\.\d+\.\d+", version):
            raise ValueError(f"{version} is no version")
    except (ValueError, KeyError, TypeError) as error:
        earlier = f"An earlier one: git log --oneline -- {RECORD}"
        raise UserError(f"{RECORD} cannot be read: {error!r}. {earlier}") from error
    return version, answers


def words(setting: str | list[str] | None) -> list[str]:
    """Return a list of one for a word where a list belongs."""
    return [setting] if isinstance(setting, str) else setting or []


class Team:
    """The folder this was started in: a repository, or a part of one."""

    def __init__(self) -> None:
        self.folder = Path.cwd()
        try:
            found = self.git("version")
            if [int(number) for number in re.findall(r"\d+", found)[:2]] < [2, 38]:
                raise UserError(f"An upgrade needs git 2.38 or later; this is {found}")
            self.git("rev-parse", "--show-prefix")
        except FileNotFoundError as error:
            raise UserError("An upgrade needs git; see https://git-scm.com/downloads") from error
        except GitError as error:
            how = f"To make one: git init -b main && {START}"
            raise UserError(f"An upgrade needs a git repository: {error}\n{how}") from error
        self.tree = self.git("rev-parse", "--verify", "--quiet", "HEAD:./", fine=(0, 1, 128)).strip()
        if not self.tree:
            raise UserError(f"This folder has no commit yet. Type: {START}")
        self.version, self.answers = record_of(self.committed(RECORD))
        try:
            self.link = json.loads(self.committed(LINK) or "{}")
            settings = tomllib.loads(self.committed("pyproject.toml")).get("tool", {})
        except ValueError as error:
            raise UserError(f"{LINK} or pyproject.toml as committed cannot be read: {error}") from error
        self.patterns = words(settings.get("upgrade", {}).get("team"))
        self.skip = [*words(settings.get("cruft", {}).get("skip")), *words(self.link.get("skip"))]

    def git(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        return git(self.folder, *arguments, fine=fine)

    def committed(self, path: str) -> str:
        return self.git("show", f"HEAD:./{path}", fine=(0, 128))

    def owns(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)

    def changed(self) -> list[str]:
        """Return what is not committed, as git shows it."""
        return self.git("status", "--porcelain", "--ignore-submodules=dirty", "--", ".").splitlines()

    def holds_an_upgrade(self) -> bool:
        """Whether there is one in the files that is not committed."""
        unmerged = self.git("ls-files", "--unmerged", "--", ".")
        return bool(unmerged or self.git("diff", "--name-only", "--diff-filter=M", "HEAD", "--", RECORD))

    def refuse_left_overs(self) -> None:
        """Refuse files with both ends of a conflict of an upgrade (or of cruft's), and *.rej files."""
        ends = ("-e", "^<<<<<<< ", "--or", "-e", "^>>>>>>> (template-|theirs)")
        marked = listed(self.git("grep", "-lzIE", "--all-match", *ends, "HEAD", "--", ".", fine=(0, 1)))
        rejected = listed(self.git("ls-files", "--cached", "--others", "-z", "--", "*.rej"))
        found = {*(path.removeprefix("HEAD:") for path in marked), *rejected}
        refuse("left from an earlier upgrade: conflict marks (<<<<<<<), *.rej. Settle them and commit", found)

    def refuse_hidden_changes(self) -> None:
        """Refuse a merge, which the upgrade would become a part of, and what git is told not to look at."""
        found = [name for name in UNDER_WAY if (self.folder / self.git("rev-parse", "--git-path", name)[:-1]).exists()]
        refuse("of a merge, rebase or cherry-pick that is under way. End it, as git status says", found)
        files = self.git("ls-files", "-v", "--", ".").splitlines()
        hidden = [line[2:] for line in files if line[0] == "S" or line[0].islower()]
        refuse("hidden from git, by sparse-checkout, --skip-worktree or --assume-unchanged. End that", hidden)

    def refuse_obstacles(self, written: set[str]) -> None:
        """Refuse to write where there is something that git does not know, or ignores."""
        folders = {str(parent) for path in written for parent in Path(path).parents}
        others = {path.rstrip("/") for path in listed(self.git("ls-files", "--others", "-z"))}
        found = {path for path in others if written & {path, *map(str, Path(path).parents)}} | others & folders
        refuse("not in git, and where the template has files. Move them away", found)


def refuse(what: str, paths: Iterable[str]) -> None:
    if paths:
        raise UserError(f"These are {what}; then: make upgrade\n\n  " + "\n  ".join(sorted(paths)[:20]))
