"""The team's repository, and what keeps an upgrade from starting; the template's releases, and what they render to."""

import functools
import json
import logging
import re
import shutil
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from cookiecutter import exceptions, generate, prompt, utils
from jinja2.exceptions import TemplateError

from ..errors import UserError
from ..gitcommand import git, git_path, listed
from . import LINK, RECORD

COMMITTED = """An upgrade needs a git repository that has this folder in a commit. To make one:
git add --all . && git commit --message 'Start from the template'
Where git knows no repository, first: git init -b main"""
UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
PASSWORD = r"https?://[^/]*@"
SHARED = re.compile(rf"(?!file:|{PASSWORD})[\w.+-]+://|[\w.-]+@[\w.-]+:")  # no folder: other machines can read it
HOW = "To change an answer: make upgrade ANSWERS=\"NAME='the answer'\""


def refuse(what: str, paths: Iterable[str]) -> None:
    if paths:
        raise UserError(f"These are {what}; then: make upgrade\n\n  " + "\n  ".join(sorted(paths)[:20]))


class Team:
    """The folder this was started in: a repository, or a folder of one."""

    def __init__(self) -> None:
        self.folder = Path.cwd()
        self.git = functools.partial(git, self.folder)
        version = self.git("version").strip()
        if [int(number) for number in re.findall(r"\d+", version)[:2]] < [2, 38]:
            raise UserError(f"An upgrade needs git 2.38 or later; this is {version}")
        self.tree = self.git("rev-parse", "--verify", "HEAD:./", remedy=COMMITTED).strip()
        files = {path: self.git("show", f"HEAD:./{path}", fine=(0, 128)) for path in (RECORD, LINK, "pyproject.toml")}
        try:
            path = RECORD
            record = json.loads(files[path])
            self.version, self.answers = record["template_version"], record["answers"]
            [int(number) for number in self.version.split(".")]
            path = LINK
            self.link = json.loads(files[path] or "{}")
            self.skip = as_list(self.link.get("skip"))
            path = "pyproject.toml"
            tool = tomllib.loads(files[path]).get("tool", {})
            self.skip += as_list(tool.get("cruft", {}).get("skip"))
            self.patterns = as_list(tool.get("upgrade", {}).get("team"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            how = f"Look at its earlier versions: git log --oneline -- {path}"
            raise UserError(f"{path} as committed cannot be read: {error!r}. {how}") from error

    def owns(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)

    def refuse_to_begin(self, check: bool) -> None:
        """Refuse what an upgrade would mix with or hide. A check writes nothing, so it needs less."""
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
        refuse("left by an earlier upgrade: conflict marks, *.rej. Resolve and commit them", listed(marked + rejected))

    def refuse_obstacles(self, written: set[str]) -> None:
        """Refuse to write where there is something that git does not know, or ignores."""
        folders = {str(parent) for path in written for parent in Path(path).parents}
        others = {path.rstrip("/") for path in listed(self.git("ls-files", "--others", "-z"))}
        found = {path for path in others if written & {path, *map(str, Path(path).parents)}} | others & folders
        refuse("not in git, and where the template has files. Move them away", found)

    def write(self, scratch: Path, tree: str, conflicts: dict[str, list[str]]) -> None:
        """Make the files those of a tree; `conflicts` has "MODE OBJECT STAGE" of each side of a path.

        It can be killed at any point. The first index has every change and conflict, so that UNDO knows every file, but
        no record: that tells of an interrupted upgrade. git writes the record as the last file; the last index has it.
        """
        real, first, last = git_path(self.folder, "index"), scratch / "index-first", scratch / "index-last"

        def run(index: Path, *arguments: str, stdin: str | None = None) -> str:
            return self.git(*arguments, stdin=stdin, variables={"GIT_INDEX_FILE": str(index)}).strip()

        def publish(index: Path) -> None:
            """Make the index the repository's by one rename. git itself would leave a lock when it is killed."""
            if real.with_name("index.lock").exists():
                raise OSError("Another git works here, or was killed and left index.lock in .git. Then remove that.")
            shutil.copyfile(index, real.with_name("index.upgrade")).replace(real)

        for copy in (first, last):
            shutil.copyfile(real, copy)
        run(last, "update-index", "-q", "--refresh")
        prefix = self.git("rev-parse", "--show-prefix").rstrip("\n")  # of a folder in a larger repository
        paths = "".join(f"{path}\0" for path in conflicts)
        sides = "".join(f"{side}\t{prefix}{path}\0" for path, sides in conflicts.items() for side in sides)

        def mark_conflicts(index: Path) -> None:
            run(index, "update-index", "-z", "--force-remove", "--stdin", stdin=paths)
            run(index, "update-index", "-z", "--index-info", stdin=sides)

        run(first, "rm", "-r", "--cached", "--force", "--quiet", ".")
        run(first, "read-tree", f"--prefix={prefix}", tree)
        whole = run(first, "write-tree")
        run(first, "update-index", "--force-remove", RECORD)
        files = run(first, "write-tree")
        mark_conflicts(first)
        publish(first)
        for part in (files, whole):
            run(last, "read-tree", "-m", "-u", part)
        mark_conflicts(last)
        publish(last)


def as_list(setting: str | list[str] | None) -> list[str]:
    return [setting] if isinstance(setting, str) else list(setting or [])


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
    return where, shared if SHARED.match(shared) else known


class Template:
    """A clone with every commit and tag; `releases` has the commit of each version, the oldest first."""

    def __init__(self, where: str, scratch: Path) -> None:
        self.scratch, self.git = scratch, functools.partial(git, scratch / "template.git")
        remedy = f"The template cannot be read from {where}. To give another address: make upgrade TEMPLATE=..."
        settings = ("--config=core.autocrlf=false", "--config=core.eol=lf")
        git(scratch, "clone", "--quiet", "--mirror", *settings, "--", where, "template.git", remedy=remedy)
        form = "--format=%(refname:lstrip=2) %(objectname) %(*objectname)"  # the last is an annotated tag's commit
        tags = [line.split() for line in self.git("for-each-ref", "--sort=version:refname", form).splitlines()]
        self.releases = {tag[0][1:]: tag[-1] for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag[0])}

    def questions(self, commit: str) -> dict:
        return json.loads(self.git("show", "--end-of-options", f"{commit}:cookiecutter.json", fine=(0, 128)) or "{}")

    def release(self, version: str) -> str:
        if version not in self.releases:
            raise UserError(
                f"The template has no release {version} (tag v{version}). Its releases are {', '.join(self.releases)}."
                "\nIf this repository was made from another commit of it, write that into .cruft.json, and commit it:"
                ' {"template": "ADDRESS", "commit": "COMMIT"}'
            )
        return self.releases[version]

    def made_from(self, version: str, linked: str) -> str:
        """Return the commit that the team has: the linked one, if it is of the recorded version, or the release."""
        questions = self.questions(linked or "none")
        if questions.get("__template_version") == version:  # if not, plain cookiecutter has written over it
            return linked
        if linked and not questions:
            print(f"The template has no commit {linked[:10]} any more: v{version} as it is now takes its place.")
        return self.release(version)

    def wanted(self, asked: str, version: str, commit: str) -> tuple[str, str]:
        """Return the version to take and its commit: as asked, or the newest, or the team's if that is newer."""
        newest = list(self.releases)[-1]
        if not asked and not self.git("rev-list", "--max-count=1", f"{commit}..{self.releases[newest]}"):
            return version, commit
        return asked or newest, self.release(asked or newest)

    def news(self, old: str, new: str) -> list[str]:
        """Return the lines of CHANGELOG.md that are new."""
        lines = self.git("diff", "--unified=0", old, new, "--", "CHANGELOG.md").splitlines()
        return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]

    def render(self, name: str, commit: str, answers: dict, link: dict) -> Path:
        """Return what cookiecutter makes of a commit, with .cruft.json as cruft would write it: `link`, renewed."""
        files = self.scratch / name / "template"
        self.git("worktree", "add", "--quiet", "--detach", str(files), commit)
        # cookiecutter renders what it is given: a text with braces becomes an expression of Jinja that is this text.
        braces = {key: "{" * 2 + ascii(answer) + "}" * 2 for key, answer in answers.items() if "{" in str(answer)}
        logging.disable(logging.CRITICAL)  # cookiecutter logs a failed hook with a traceback
        try:
            # Not by cookiecutter.main: it reads a person's own settings, and writes to the home folder.
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
            message = f"The {name} version of the template cannot be made with these answers: {error}"
            raise UserError(f"{message}\nNothing was changed. {HOW}") from error
        tag = next((f"v{version}" for version, its in self.releases.items() if its == commit), commit)
        link |= {"commit": commit, "checkout": tag, "context": context}
        text = json.dumps(link, ensure_ascii=False, indent=2, separators=(",", ": "))
        (folder / LINK).write_text(text + "\n", encoding="utf-8")
        return folder
