"""The template's repository: its releases, its news, what it renders; its questions, and the answers to them."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError, git

PASSWORD = re.compile(r"https?://[^/]*@")


def addresses(asked: str, known: str) -> tuple[str, str]:
    """Return where to read the template, and the address to record: one that other machines can read."""
    where = asked or known
    if not where:
        raise UserError(
            "This repository does not know yet where its template is. Say it once: make upgrade"
            " TEMPLATE=https://.../cookiecutter-polyaxon-argo-seldon (or a folder with a clone of it)"
        )
    if PASSWORD.match(where):
        raise UserError("A password in TEMPLATE would be committed. See https://git-scm.com/docs/gitcredentials")
    folder, shared = Path(where).expanduser(), where
    if folder.is_dir():
        where = str(folder.resolve())
        shared = git(folder, "remote", "get-url", "origin", fine=(0, 2, 128)).strip()
    remote = re.match(r"(?!file:)[\w.+-]+://|[\w.-]+@[\w.-]+:", shared) and not PASSWORD.match(shared)
    return where, shared if remote else known


class Template:
    """A clone with every commit and tag, made once; `releases` has a commit for each version, the oldest first."""

    def __init__(self, where: str, scratch: Path) -> None:
        self.scratch, self.clone = scratch, scratch / "template.git"
        try:
            git(scratch, "clone", "--quiet", "--mirror", "--", where, str(self.clone))
        except GitError as error:
            raise UserError(
                f"The template cannot be read from {where}: {error}\nIs that its address, and may you read it? Another"
                " one, or a clone on this machine: make upgrade TEMPLATE=/folder/of/the/template"
            ) from error
        tags = git(self.clone, "tag", "--sort=version:refname").split()
        tags = [tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
        self.releases = {tag[1:]: self.commit(f"refs/tags/{tag}") for tag in tags}

    def commit(self, name: str) -> str:
        return git(self.clone, "rev-parse", "--verify", "--quiet", name + "^{commit}", fine=(0, 1, 128)).strip()

    def questions(self, commit: str) -> dict:
        return json.loads(git(self.clone, "show", f"{commit}:cookiecutter.json", fine=(0, 128)) or "{}")

    def release(self, version: str) -> str:
        if version not in self.releases:
            raise UserError(
                f"The template has no release {version} (tag v{version}). Its releases are {', '.join(self.releases)}."
                "\nIf this repository was made from another commit of it, write that into .cruft.json, and commit it:"
                ' {"template": "ADDRESS", "commit": "COMMIT"}'
            )
        return self.releases[version]

    def made_from(self, version: str, linked: str) -> str:
        """Return the commit that a team has: the one that is linked, if it has the recorded version, or the release."""
        commit = self.commit(linked or "none")
        # A repository that plain cookiecutter wrote over has the files of another version than the linked one.
        if self.questions(commit).get("__template_version") == version:
            return commit
        if linked and not commit:
            print(f"The template has no commit {linked[:10]} any more: v{version} as it is now takes its place.")
        return self.release(version)

    def newer(self, version: str, commit: str) -> tuple[str, str]:
        """Return the newest release; the given one when that was made on top of it."""
        newest, its_commit = list(self.releases.items())[-1]
        common = git(self.clone, "merge-base", commit, its_commit, fine=(0, 1)).strip()
        return (version, commit) if common == its_commit else (newest, its_commit)

    def news(self, old: str, new: str) -> list[str]:
        """Return the lines of CHANGELOG.md that are new."""
        lines = git(self.clone, "diff", "--unified=0", old, new, "--", "CHANGELOG.md").splitlines()
        return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]

    def render(self, what: str, commit: str, answers: dict, link: dict) -> Path:
        """Render a commit with these answers; `link` is .cruft.json as it was."""
        from .render import render  # here, because most runs end before: cookiecutter takes a third of a second to load

        files = self.scratch / what / "template"
        lf = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")
        git(self.clone, *lf, "worktree", "add", "--quiet", "--detach", str(files), commit)
        name = next((f"v{version}" for version, its in self.releases.items() if its == commit), commit)
        return render(files, files.parent / "made", answers, link | {"commit": commit, "checkout": name})


def given(text: str) -> dict[str, str]:
    """Read NAME=VALUE NAME='the value' as a shell does."""
    try:
        return dict(part.split("=", 1) for part in shlex.split(text))
    except ValueError as error:
        raise UserError(f"ANSWERS cannot be read: {error}. Write it like ANSWERS=\"NAME='the answer'\"") from error


def carry(old: dict, asked: dict[str, str], questions: dict) -> dict:
    """Return the answers by the names of the new version's questions.

    cookiecutter passes over a name that it does not know, and over no choice without a traceback: both are refused.
    """
    names = [name for name in questions if not name.startswith("_")]
    if unknown := sorted(asked.keys() - names):
        raise UserError(f"The template has no question {unknown[0]}. Its questions are {', '.join(names)}.")
    answers = {name: answer for _, name, answer in carried(old, questions) if name in names} | asked
    for name, answer in answers.items():
        if isinstance(questions[name], list) and answer not in questions[name]:
            ways = " or ".join(f"ANSWERS=\"{name}='{choice}'\"" for choice in questions[name])
            raise UserError(f"{name} is {answer!r}, and that is no choice in this version. Type one of: {ways}")
    return answers


def carried(old: dict, questions: dict) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each question then, its name now, and the answer."""
    renamed = questions.get("_renamed_questions", {})
    for before, answer in old.items():
        name = before
        for _ in renamed:  # one that was renamed twice
            name = name if name in questions else renamed.get(name, name)
        yield before, name, old.get(name, answer)


def told(old: dict, new: dict, questions: dict) -> Iterator[str]:
    """Say what changes in the questions and answers."""
    had = {}
    for before, name, answer in carried(old, questions):
        had[name] = answer
        if name not in new:
            yield f"{before} is not asked any more; your answer was {answer!r}."
        elif name != before:
            yield f"{before} is called {name} now; your answer was {answer!r}."
    for name, answer in new.items():
        if name not in had:
            yield f"A new question: {name}. Answered with its default, {answer!r}. Another answer, later:"
            yield f"  make upgrade ANSWERS=\"{name}='...'\""
        elif answer != had[name]:
            yield f"{name} was {had[name]!r} and becomes {answer!r}."
