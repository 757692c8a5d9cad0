"""The team's repository: what is committed in it, and whether an upgrade may begin."""

import json
import re
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError, git, listed
from .write import LINK, RECORD, git_path

START = "git add --all . && git commit --message 'Start from the template'"
UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


def words(setting: str | list[str] | None) -> list[str]:
    """Return a list of one for a word where a list belongs."""
    return [setting] if isinstance(setting, str) else setting or []


def refuse(what: str, paths: Iterable[str]) -> None:
    if paths:
        raise UserError(f"These are {what}; then: make upgrade\n\n  " + "\n  ".join(sorted(paths)[:20]))


class Team:
    """The folder this was started in: a repository, or a part of one."""

    def __init__(self) -> None:
        self.folder = Path.cwd()
        found = self.git("version").strip()
        if [int(number) for number in re.findall(r"\d+", found)[:2]] < [2, 38]:
            raise UserError(f"An upgrade needs git 2.38 or later; this is {found}")
        try:
            self.tree = self.git("rev-parse", "--verify", "--quiet", "HEAD:./", fine=(0, 1)).strip()
        except GitError as error:
            how = f"To make one: git init -b main && {START}"
            raise UserError(f"An upgrade needs a git repository: {error}\n{how}") from error
        if not self.tree:
            raise UserError(f"This folder has no commit yet. Type: {START}")
        try:
            path = RECORD
            record = json.loads(self.committed(path))
            self.version, self.answers = record["template_version"], record["answers"]
            [int(number) for number in self.version.split(".")]
            path = LINK
            self.link = json.loads(self.committed(path) or "{}")
            skip = words(self.link.get("skip"))
            path = "pyproject.toml"
            settings = tomllib.loads(self.committed(path)).get("tool", {})
            self.patterns = words(settings.get("upgrade", {}).get("team"))
            self.skip = [*skip, *words(settings.get("cruft", {}).get("skip"))]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            earlier = f"An earlier one: git log --oneline -- {path}"
            raise UserError(f"{path} as committed cannot be read: {error!r}. {earlier}") from error

    def git(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        return git(self.folder, *arguments, fine=fine)

    def committed(self, path: str) -> str:
        return self.git("show", f"HEAD:./{path}", fine=(0, 128))

    def owns(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)

    def refuse_changes(self) -> None:
        """Refuse what is not committed, what git is told not to look at, and to become a part of a merge."""
        under_way = [name for name in UNDER_WAY if git_path(self.folder, name).exists()]
        refuse("of a merge, rebase or cherry-pick that is under way. End it, as git status says", under_way)
        files = self.git("ls-files", "-v", "--", ".").splitlines()
        hidden = [line[2:] for line in files if line[0] == "S" or line[0].islower()]
        refuse("hidden from git, by sparse-checkout, --skip-worktree or --assume-unchanged. End that", hidden)
        changed = self.git("status", "--porcelain", "--ignore-submodules=dirty", "--", ".").splitlines()
        refuse("not committed. Commit them, or put them aside with git stash --include-untracked", changed)

    def refuse_left_overs(self) -> None:
        """Refuse files with a mark of an upgrade's conflict (or of cruft's), and *.rej files."""
        marked = self.git("grep", "--cached", "-lzIE", "^>>>>>>> (template-|theirs)", "--", ".", fine=(0, 1))
        rejected = self.git("ls-files", "--cached", "--others", "-z", "--", "*.rej")
        refuse("left from an earlier upgrade: conflict marks, *.rej. Settle them and commit", listed(marked + rejected))

    def refuse_obstacles(self, written: set[str]) -> None:
        """Refuse to write where there is something that git does not know, or ignores."""
        folders = {str(parent) for path in written for parent in Path(path).parents}
        others = {path.rstrip("/") for path in listed(self.git("ls-files", "--others", "-z"))}
        found = {path for path in others if written & {path, *map(str, Path(path).parents)}} | others & folders
        refuse("not in git, and where the template has files. Move them away", found)
