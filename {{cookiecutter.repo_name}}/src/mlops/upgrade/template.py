"""The template's repository: its releases, its questions, and what they render for a team's answers."""

import json
import logging
import re
import shlex
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..gitcommand import GitError, git
from .write import LINK

PASSWORD = r"https?://[^/]*@"
ELSEWHERE = re.compile(rf"(?!file:|{PASSWORD})[\w.+-]+://|[\w.-]+@[\w.-]+:")
LF = ("--config=core.autocrlf=false", "--config=core.eol=lf")
HOW = "An answer is changed with: make upgrade ANSWERS=\"NAME='the answer'\""


def addresses(asked: str, known: str) -> tuple[str, str]:
    """Return where to read the template, and the address to record: one that other machines can read."""
    where = shared = asked or known
    if not where:
        raise UserError("Where is the template? Type: make upgrade TEMPLATE=https://... (or a folder with a clone)")
    if re.match(PASSWORD, where):
        raise UserError("A password in TEMPLATE would be committed. See https://git-scm.com/docs/gitcredentials")
    folder = Path(where).expanduser()
    if folder.is_dir():
        where = str(folder.resolve())
        shared = git(folder, "remote", "get-url", "origin", fine=(0, 2, 128)).strip()
    return where, shared if ELSEWHERE.match(shared) else known


class Template:
    """A clone with every commit and tag, made once; `releases` has a commit for each version, the oldest first."""

    def __init__(self, where: str, scratch: Path) -> None:
        self.scratch, self.clone = scratch, scratch / "template.git"
        try:
            git(scratch, "clone", "--quiet", "--mirror", *LF, "--", where, str(self.clone))
        except GitError as error:
            other = "Another address, or a clone on this machine: make upgrade TEMPLATE=/folder/of/the/template"
            raise UserError(f"The template cannot be read from {where}: {error}\n{other}") from error
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

    def wanted(self, asked: str, version: str, commit: str) -> tuple[str, str]:
        """Return the release that is asked for or the newest; the given one when that was made on top of it."""
        newest = list(self.releases)[-1]
        if not asked and not git(self.clone, "rev-list", "--max-count=1", f"{commit}..{self.releases[newest]}"):
            return version, commit
        return asked or newest, self.release(asked or newest)

    def news(self, old: str, new: str) -> list[str]:
        """Return the lines of CHANGELOG.md that are new."""
        lines = git(self.clone, "diff", "--unified=0", old, new, "--", "CHANGELOG.md").splitlines()
        return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]

    def render(self, what: str, commit: str, answers: dict, link: dict) -> Path:
        """Return what cookiecutter makes of a commit, with .cruft.json as cruft would write it; `link` is the last."""
        # Not above, because most runs end before: they take a third of a second to load.
        from cookiecutter.exceptions import CookiecutterException
        from cookiecutter.generate import generate_context, generate_files
        from cookiecutter.prompt import prompt_for_config
        from cookiecutter.utils import create_env_with_context
        from jinja2.exceptions import TemplateError

        files = self.scratch / what / "template"
        git(self.clone, "worktree", "add", "--quiet", "--detach", str(files), commit)
        name = next((f"v{version}" for version, its in self.releases.items() if its == commit), commit)
        link = dict.fromkeys(("template", "commit", "checkout", "context", "directory")) | link
        link |= {"commit": commit, "checkout": name}
        # cookiecutter renders what it is given: a text with braces becomes an expression of Jinja that is this text.
        braces = {key: "{" * 2 + ascii(answer) + "}" * 2 for key, answer in answers.items() if "{" in str(answer)}
        logging.disable(logging.CRITICAL)  # cookiecutter logs a failed hook with a traceback
        try:
            # A person's own settings of cookiecutter must not answer for the team: they are not read.
            context = generate_context(str(files / "cookiecutter.json"), extra_context=answers | braces)
            context["cookiecutter"] = prompt_for_config(context, no_input=True)
            context["cookiecutter"] |= {"_template": link["template"], "_commit": commit}
            jinja = create_env_with_context(context)
            for path in files.rglob("*{*"):
                made = PurePosixPath(jinja.from_string(path.name).render(**context))
                if made.is_absolute() or ".." in made.parts:
                    raise ValueError(f"an answer would put a file outside of the repository: {made}")
            folder = Path(generate_files(str(files), context, str(files.parent / "made")))
        except (CookiecutterException, TemplateError, OSError, ValueError) as error:
            message = f"Version {name} of the template cannot be made with these answers: {error}"
            raise UserError(f"{message}\nNothing was changed. {HOW}") from error
        text = json.dumps(link | {"context": context}, ensure_ascii=False, indent=2, separators=(",", ": "))
        (folder / LINK).write_text(text + "\n", encoding="utf-8")
        return folder


def given(text: str) -> dict[str, str]:
    """Read NAME=VALUE NAME='the value' as a shell does."""
    try:
        return dict(part.split("=", 1) for part in shlex.split(text))
    except ValueError as error:
        raise UserError(f"ANSWERS cannot be read: {error}. {HOW}") from error


def carry(old: dict, asked: dict[str, str], questions: dict) -> dict:
    """Return the answers by the names of the new version's questions; cookiecutter refuses a wrong choice."""
    names = [name for name in questions if not name.startswith("_")]
    if unknown := sorted(asked.keys() - names):
        raise UserError(f"The template has no question {unknown[0]}. Its questions are {', '.join(names)}.")
    renamed, answers = questions.get("_renamed_questions", {}), {}
    for name, answer in old.items():
        while name not in questions and name in renamed:
            name = renamed[name]
        answers[name] = old.get(name, answer)
    return {name: answer for name, answer in answers.items() if name in names} | asked
