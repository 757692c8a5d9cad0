"""The team's repository: what is committed in it, and whether an upgrade may begin."""

import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError, git, listed
from .journal import LINK, RECORD

START = "git add --all . && git commit --message 'Start from the template'"
OUTSIDE = re.compile(r"/|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)")
UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


def parsed(text: str, path: str) -> dict:
    """Return a JSON file of the upgrade's; {} when there is none."""
    try:
        content = json.loads(text or "{}")
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}. An earlier one: git log --oneline -- {path}") from error
    return content if isinstance(content, dict) else {}


def record_of(text: str) -> tuple[str, dict]:
    """Return the version that a repository was made from, and the answers."""
    record = parsed(text, RECORD)
    version, answers = str(record.get("template_version")), record.get("answers")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version) or not isinstance(answers, dict):
        raise UserError(f"{RECORD} has no version or no answers. An earlier one: git log --oneline -- {RECORD}")
    return version, answers


class Team:
    """The folder this was started in: a repository, or a part of one."""

    def __init__(self) -> None:
        self.folder = Path.cwd()
        try:
            if re.search(r"\b[01]\.|\b2\.([0-9]|[12][0-9]|3[0-7])\b", found := self.git("version")):
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
        self.link = parsed(self.committed(LINK), LINK)
        try:
            settings = tomllib.loads(self.committed("pyproject.toml")).get("tool", {})
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"pyproject.toml as committed cannot be read: {error}. It says whose a file is.") from error
        team, skip = settings.get("upgrade", {}).get("team", []), settings.get("cruft", {}).get("skip", [])
        self.patterns = [team] if isinstance(team, str) else team
        self.skip = [*([skip] if isinstance(skip, str) else skip), *(self.link.get("skip") or [])]
        if outside := [item for item in self.skip if OUTSIDE.match(item)]:
            raise UserError(f"skip, in [tool.cruft] or {LINK}, has {outside[0]!r}: not a path in this repository.")

    def git(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        return git(self.folder, *arguments, fine=fine)

    def committed(self, path: str) -> str:
        return self.git("show", f"HEAD:./{path}", fine=(0, 128))

    def owns(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)

    def changed(self) -> list[str]:
        """Return what is not committed, as git shows it."""
        return self.git("status", "--porcelain", "--ignore-submodules=dirty", "--", ".").splitlines()

    def refuse_left_overs(self) -> None:
        """Refuse files with both ends of a conflict of an upgrade (or of cruft's), and *.rej files."""
        ends = ("-e", "^<<<<<<< ", "--or", "-e", "^>>>>>>> (template-|theirs)")
        marked = listed(self.git("grep", "-lzIE", "--all-match", *ends, "HEAD", "--", ".", fine=(0, 1)))
        rejected = listed(self.git("ls-files", "--cached", "--others", "-z", "--", "*.rej"))
        found = {*(path.removeprefix("HEAD:") for path in marked), *rejected}
        refuse("left from an earlier upgrade: conflict marks (<<<<<<<), *.rej. Settle them and commit", found)

    def refuse_hidden_changes(self) -> None:
        """Refuse a merge, which the upgrade would become a part of, and what git is told not to look at."""
        found = {name for name in UNDER_WAY if (self.folder / self.git("rev-parse", "--git-path", name)[:-1]).exists()}
        refuse("of a merge, rebase or cherry-pick that is under way. End it, as git status says", found)
        files = self.git("ls-files", "-v", "--", ".").splitlines()
        hidden = {line[2:] for line in files if line[0] == "S" or line[0].islower()}
        refuse("hidden from git, by sparse-checkout, --skip-worktree or --assume-unchanged. End that", hidden)

    def refuse_obstacles(self, head: dict[str, str], tree: dict[str, str]) -> None:
        """Refuse to write where git ignores something, through a link, or into another repository."""
        found, tracked = set(), set(listed(self.git("ls-files", "-z")))
        for path in (path for path, entry in tree.items() if entry != head.get(path)):
            for parent in map(str, list(Path(path).parents)[:-1]):
                here = self.folder / parent
                if parent not in tracked and (here.is_symlink() or here.is_file() or (here / ".git").exists()):
                    found.add(parent)
            here = self.folder / path
            if here.is_dir() and not here.is_symlink():
                files = (file for file in here.rglob("*") if not file.is_dir())
                found |= {str(file.relative_to(self.folder)) for file in files} - tracked
            elif path not in tracked and (here.exists() or here.is_symlink()):
                found.add(path)
        refuse("not in git, and where the template has files. Move them away", found)


def refuse(what: str, paths: set[str]) -> None:
    if paths:
        raise UserError(f"These are {what}; then: make upgrade\n\n  " + "\n  ".join(sorted(paths)[:20]))
