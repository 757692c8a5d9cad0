"""The template's releases: their versions, their news, and the files that they render."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import UserError
from ..gitcommand import GitError, configured, environment, git

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
HEADING = re.compile(r"^## (\d+\.\d+\.\d+)\b")


class Release(NamedTuple):
    """A version of the template, the commit that is rendered for it, and the name it is known by: a tag or a commit."""

    version: str
    commit: str
    name: str


def order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def address(given: str) -> str:
    """Return the template's address as .cruft.json has it: a folder becomes absolute."""
    parts = urlsplit(given)
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        raise UserError(
            "The template's address holds a name or a password, and would be committed in .cruft.json. Leave it out of"
            " TEMPLATE, and give it to git: https://git-scm.com/docs/gitcredentials"
        )
    folder = Path(given).expanduser()
    return str(folder.resolve()) if folder.is_dir() else given


class Template:
    """A copy of the template's repository that holds every commit and tag, so that its address is asked once."""

    def __init__(self, where: str, scratch: Path) -> None:
        self.where, self.scratch, self.copy = where, scratch, scratch / "template.git"
        try:
            git(scratch, "clone", "--quiet", "--mirror", "--", where, str(self.copy))
        except GitError as error:
            raise UserError(
                f"The template cannot be read from {where}:\n  {str(error).replace(chr(10), chr(10) + '  ')}\n"
                "Is that its address, and may you read it? Another one, or a clone on this machine, goes into"
                " TEMPLATE: make upgrade TEMPLATE=/folder/of/the/template"
            ) from error

    def versions(self) -> list[str]:
        """The releases, oldest first: the tags v1.2.3. Others (v1.2.3rc1, latest) are none."""
        tags = git(self.copy, "tag", "--list", "v*").split()
        return sorted((tag[1:] for tag in tags if VERSION.fullmatch(tag[1:])), key=order)

    def release(self, version: str) -> Release:
        known = self.versions()
        if version not in known:
            there = f"Its releases are {', '.join(known)}." if known else "It has no release: no tag like v1.2.3."
            raise UserError(f"The template at {self.where} has no release {version} (tag v{version}). {there}")
        tag = git(self.copy, "rev-parse", f"refs/tags/v{version}" + "^{commit}").strip()
        return Release(version, tag, f"v{version}")

    def newest(self) -> Release:
        known = self.versions()
        if not known:
            raise UserError(f"The template at {self.where} has no release: no tag like v1.2.3.")
        return self.release(known[-1])

    def commit(self, name: str) -> str | None:
        return git(self.copy, "rev-parse", "--verify", "--quiet", name + "^{commit}", fine=(0, 1, 128)).strip() or None

    def contains(self, commit: str, other: str) -> bool:
        """Whether `commit` was made on top of `other`, or is it."""
        try:
            git(self.copy, "merge-base", "--is-ancestor", other, commit)
        except GitError:
            return False
        return True

    def text(self, commit: str, path: str) -> str:
        """A file of the template, or nothing where it has none."""
        try:
            return git(self.copy, "show", f"{commit}:{path}")
        except GitError:
            return ""

    def questions(self, commit: str) -> dict:
        """Return cookiecutter.json at a commit."""
        try:
            return json.loads(self.text(commit, "cookiecutter.json") or "{}")
        except ValueError as error:
            raise UserError(f"The template's cookiecutter.json at {commit[:10]} cannot be read: {error}") from error

    def news(self, old: Release, new: Release) -> str:
        """The sections of CHANGELOG.md of the versions after `old`, up to `new`."""
        kept, wanted = [], False
        for line in self.text(new.commit, "CHANGELOG.md").splitlines():
            if line.startswith("## "):
                found = HEADING.match(line)
                wanted = found is not None and order(old.version) < order(found[1]) <= order(new.version)
            if wanted:
                kept.append(line)
        return "\n".join(kept).strip()

    def start(self, ref: str, answers: dict, name: str) -> tuple[subprocess.Popen, Path]:
        """Begin to render a tag or commit with these answers."""
        folder, file = self.scratch / name, self.scratch / f"{name}.json"
        file.write_text(json.dumps({key: as_typed(value) for key, value in answers.items()}), encoding="utf-8")
        program = Path(__file__).with_name("render.py")
        around = environment(TMPDIR=str(self.scratch))  # what a stopped cruft leaves goes with our own folder
        # cruft clones by itself: git gives it our copy, with the line ends that it has.
        cloning = {f"url.{self.copy}.insteadOf": self.where, "core.autocrlf": "false", "core.eol": "lf"}
        command = [sys.executable, "-P", str(program), self.where, ref, str(file), str(folder)]
        process = subprocess.Popen(
            command,
            cwd=self.scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the post-gen hook speaks to those who have just made a repository
            stderr=subprocess.PIPE,
            text=True,
            env=around | configured(cloning, around),
        )
        return process, folder

    def render(self, old: tuple[str, dict], new: tuple[str, dict]) -> tuple[Path, Path]:
        """Render two tags or commits, each with its answers; return the two folders that cruft makes."""
        both = [self.start(*old, "old"), self.start(*new, "new")]
        try:
            told = [process.communicate()[1] for process, _ in both]
        finally:
            for process, _ in both:
                process.kill()  # where this was stopped; one that has ended is not there any more
        for (process, _), what, text in zip(both, ("the version that you have", "the new version"), told, strict=True):
            if process.returncode:
                refused = "cannot work; nothing was made" in text  # the hook, which checks the answers
                remedy = "\n\nAn answer is changed with: make upgrade ANSWERS=\"NAME='the answer'\"" if refused else ""
                raise UserError(
                    f"The template cannot make {what} with this repository's answers. Nothing was changed.\n\n"
                    f"{text.strip()}{remedy}"
                )
        first, second = (next(folder.iterdir()) for _, folder in both)
        return first, second


def as_typed(answer: object) -> object:
    """Return the answer in the form that cookiecutter, which renders what it is given, hands on unchanged."""
    if isinstance(answer, str) and "{" in answer:
        return "{" * 2 + f" {answer!a} " + "}" * 2  # an expression of Jinja that is the answer
    return answer
