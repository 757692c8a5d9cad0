"""The two repositories: the team's, with its settings and what keeps an upgrade from beginning, and the template's."""

import json
import logging
import re
import shlex
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..gitcommand import GitError, git, listed
from .write import LINK, RECORD, git_path

START = "git add --all . && git commit --message 'Start from the template'"
UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
PASSWORD = r"https?://[^/]*@"
ELSEWHERE = re.compile(rf"(?!file:|{PASSWORD})[\w.+-]+://|[\w.-]+@[\w.-]+:")
LF = ("--config=core.autocrlf=false", "--config=core.eol=lf")
HOW = "An answer is changed with: make upgrade ANSWERS=\"NAME='the answer'\""


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
        files = {path: self.git("show", f"HEAD:./{path}", fine=(0, 128)) for path in (RECORD, LINK, "pyproject.toml")}
        try:
            path = RECORD
            record = json.loads(files[path])
            self.version, self.answers = record["template_version"], record["answers"]
            [int(number) for number in self.version.split(".")]
            path = LINK
            self.link = json.loads(files[path] or "{}")
            skip = words(self.link.get("skip"))
            path = "pyproject.toml"
            settings = tomllib.loads(files[path]).get("tool", {})
            self.patterns = words(settings.get("upgrade", {}).get("team"))
            self.skip = [*skip, *words(settings.get("cruft", {}).get("skip"))]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            earlier = f"An earlier one: git log --oneline -- {path}"
            raise UserError(f"{path} as committed cannot be read: {error!r}. {earlier}") from error

    def git(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        return git(self.folder, *arguments, fine=fine)

    def owns(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)

    def refuse_to_begin(self, check: bool) -> None:
        """Refuse what an upgrade would mix with or hide. A check, which writes nothing, needs less."""
        if not check:
            under_way = [name for name in UNDER_WAY if git_path(self.folder, name).exists()]
            refuse("of a merge, rebase or cherry-pick that is under way. End it, as git status says", under_way)
            files = self.git("ls-files", "-v", "--", ".").splitlines()
            hidden = [line[2:] for line in files if line[0] == "S" or line[0].islower()]
            refuse("hidden from git, by sparse-checkout, --skip-worktree or --assume-unchanged. End that", hidden)
            changed = self.git("status", "--porcelain", "--ignore-submodules=dirty", "--", ".").splitlines()
            refuse("not committed. Commit them, or put them aside with git stash --include-untracked", changed)
        marked = self.git("grep", "--cached", "-lzIE", "^>>>>>>> (template-|theirs)", "--", ".", fine=(0, 1))
        rejected = self.git("ls-files", "--cached", "--others", "-z", "--", "*.rej")
        refuse("left from an earlier upgrade: conflict marks, *.rej. Settle them and commit", listed(marked + rejected))

    def refuse_obstacles(self, written: set[str]) -> None:
        """Refuse to write where there is something that git does not know, or ignores."""
        folders = {str(parent) for path in written for parent in Path(path).parents}
        others = {path.rstrip("/") for path in listed(self.git("ls-files", "--others", "-z"))}
        found = {path for path in others if written & {path, *map(str, Path(path).parents)}} | others & folders
        refuse("not in git, and where the template has files. Move them away", found)


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
        form = "--format=%(refname:lstrip=2) %(objectname) %(*objectname)"  # the last is an annotated tag's commit
        tags = [line.split() for line in git(self.clone, "for-each-ref", "--sort=version:refname", form).splitlines()]
        self.releases = {tag[0][1:]: tag[-1] for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag[0])}

    def questions(self, commit: str) -> dict:
        shown = git(self.clone, "show", "--end-of-options", f"{commit}:cookiecutter.json", fine=(0, 128))
        return json.loads(shown or "{}")

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
        questions = self.questions(linked or "none")
        # A repository that plain cookiecutter wrote over has the files of another version than the linked one.
        if questions.get("__template_version") == version:
            return linked
        if linked and not questions:
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
        """Return what cookiecutter makes of a commit, with .cruft.json as cruft would write it: `link`, renewed."""
        # Not above, because most runs end before: they take a third of a second to load.
        from cookiecutter import exceptions, generate, prompt, utils
        from jinja2.exceptions import TemplateError

        files = self.scratch / what / "template"
        git(self.clone, "worktree", "add", "--quiet", "--detach", str(files), commit)
        name = next((f"v{version}" for version, its in self.releases.items() if its == commit), commit)
        # cookiecutter renders what it is given: a text with braces becomes an expression of Jinja that is this text.
        braces = {key: "{" * 2 + ascii(answer) + "}" * 2 for key, answer in answers.items() if "{" in str(answer)}
        logging.disable(logging.CRITICAL)  # cookiecutter logs a failed hook with a traceback
        try:
            # A person's own settings of cookiecutter must not answer for the team: they are not read.
            context = generate.generate_context(str(files / "cookiecutter.json"), extra_context=answers | braces)
            context["cookiecutter"] = prompt.prompt_for_config(context, no_input=True)
            context["cookiecutter"] |= {"_template": link["template"], "_commit": commit}
            jinja = utils.create_env_with_context(context)
            for path in files.rglob("*{*"):
                made = PurePosixPath(jinja.from_string(path.name).render(**context))
                if made.is_absolute() or ".." in made.parts:
                    raise ValueError(f"an answer would put a file outside of the repository: {made}")
            folder = Path(generate.generate_files(str(files), context, str(files.parent / "made")))
        except (exceptions.CookiecutterException, TemplateError, OSError, ValueError) as error:
            message = f"Version {name} of the template cannot be made with these answers: {error}"
            raise UserError(f"{message}\nNothing was changed. {HOW}") from error
        link |= {"commit": commit, "checkout": name, "context": context}
        text = json.dumps(link, ensure_ascii=False, indent=2, separators=(",", ": "))
        (folder / LINK).write_text(text + "\n", encoding="utf-8")
        return folder


def carry(old: dict, asked: str, questions: dict) -> dict:
    """Return the answers, of before and of NAME=VALUE NAME='the value', by the names that the questions have now."""
    try:
        given = dict(part.split("=", 1) for part in shlex.split(asked))
    except ValueError as error:
        raise UserError(f"ANSWERS cannot be read: {error}. {HOW}") from error
    names = [name for name in questions if not name.startswith("_")]
    if unknown := sorted(given.keys() - names):
        raise UserError(f"The template has no question {unknown[0]}. Its questions are {', '.join(names)}.")
    renamed, answers = questions.get("_renamed_questions", {}), {}
    for name, answer in old.items():
        for _ in renamed:  # each may have been renamed again
            name = name if name in questions else renamed.get(name, name)
        answers[name] = old.get(name, answer)
    return {name: answer for name, answer in answers.items() if name in names} | given
