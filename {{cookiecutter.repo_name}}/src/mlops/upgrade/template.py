"""The template's repository: its releases, its questions, its news, and what it renders."""

import json
import re
import subprocess
import sys
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError, environment, git


def order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def addresses(asked: str, known: str) -> tuple[str, str]:
    """Return where to read the template, and the address to record: one that every machine can read, or none."""
    where = asked or known
    if not where:
        raise UserError(
            "This repository does not know yet where its template is. Say it once: make upgrade"
            " TEMPLATE=https://.../cookiecutter-polyaxon-argo-seldon (or a folder with a clone of it)"
        )
    if re.match(r"https?://[^/]*@", where):
        raise UserError(
            "The template's address holds a name or a password, and would be committed in .cruft.json. Leave it out of"
            " TEMPLATE, and give it to git: https://git-scm.com/docs/gitcredentials"
        )
    folder = Path(where).expanduser()
    here = folder.is_dir()
    told = git(folder, "remote", "get-url", "origin", fine=(0, 2, 128)).strip() if here else where
    elsewhere = re.match(r"(?!file:)[\w.+-]+://|[\w.-]+@[\w.-]+:", told) and not re.match(r"https?://[^/]*@", told)
    return str(folder.resolve()) if here else where, told if elsewhere else known


class Template:
    """A clone with every commit and tag, so that the address is asked once; `releases` has a commit for each version."""

    def __init__(self, where: str, scratch: Path) -> None:
        self.where, self.scratch, self.clone = where, scratch, scratch / "template.git"
        try:
            git(scratch, "clone", "--quiet", "--mirror", "--", where, str(self.clone))
        except GitError as error:
            raise UserError(
                f"The template cannot be read from {where}:\n  {str(error).replace(chr(10), chr(10) + '  ')}\n"
                "Is that its address, and may you read it? Another one, or a clone on this machine, goes into"
                " TEMPLATE: make upgrade TEMPLATE=/folder/of/the/template"
            ) from error
        tags = git(self.clone, "tag", "--list", "v*").split()
        versions = sorted((tag[1:] for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), key=order)
        self.releases = {version: self.commit(f"refs/tags/v{version}") for version in versions}

    def commit(self, name: str) -> str:
        return git(self.clone, "rev-parse", "--verify", "--quiet", name + "^{commit}", fine=(0, 1, 128)).strip()

    def name(self, commit: str) -> str:
        """Return the tag of a release's commit, as .cruft.json has it."""
        return next((f"v{version}" for version, its in self.releases.items() if its == commit), commit)

    def text(self, commit: str, path: str) -> str:
        return git(self.clone, "show", f"{commit}:{path}", fine=(0, 128))

    def questions(self, commit: str) -> dict:
        try:
            return json.loads(self.text(commit, "cookiecutter.json") or "{}")
        except ValueError as error:
            raise UserError(f"The template's cookiecutter.json at {commit[:10]} cannot be read: {error}") from error

    def made_from(self, version: str, asked: str, linked: str) -> str:
        """Return the commit that a team has: the one that is linked, if it has the recorded version, or the release."""
        commit = self.commit(asked or linked) if asked or linked else ""
        if asked and not commit:
            raise UserError(f"The template has no commit {asked}.")
        # A repository that plain cookiecutter wrote over has the files of another version than the linked one.
        if asked or (commit and self.questions(commit).get("__template_version") == version):
            return commit
        if linked and not commit:
            print(f"The template has no commit {linked[:10]} any more: v{version} as it is now takes its place.")
        remedy = "Say which of its commits it was made from: make upgrade ARGS='--made-from COMMIT'"
        return self.release(version, f"This repository was made from version {version} of the template. {remedy}")

    def release(self, version: str, more: str = "") -> str:
        if version not in self.releases:
            known = ", ".join(self.releases) or "none"
            raise UserError(
                f"The template at {self.where} has no release {version} (tag v{version}). Its releases are {known}. {more}"
            )
        return self.releases[version]

    def newer(self, version: str, commit: str) -> tuple[str, str]:
        """Return the newest release; the given one when that is not older, or was made on top of it."""
        newest, its_commit = list(self.releases.items())[-1]
        common = git(self.clone, "merge-base", commit, its_commit, fine=(0, 1)).strip()
        return (version, commit) if order(newest) < order(version) or common == its_commit else (newest, its_commit)

    def news(self, old: str, new: str) -> list[str]:
        """Return the lines of CHANGELOG.md of the versions after `old`, up to `new`."""
        found = []
        for section in re.split(r"(?m)^(?=## )", self.text(self.releases.get(new, ""), "CHANGELOG.md")):
            version = re.match(r"## (\d+\.\d+\.\d+)\b", section)
            if version and order(old) < order(version[1]) <= order(new):
                found += section.rstrip().splitlines()
        return found

    def render(self, jobs: list[dict]) -> list[Path]:
        """Render the commit of each job (see render.py) with its answers; return the repositories that come out."""
        for job in jobs:
            job |= {"files": str(self.scratch / f"files of {job['what']}"), "made": str(self.scratch / job["what"])}
            lf = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")
            git(self.clone, *lf, "worktree", "add", "--quiet", "--detach", job["files"], job["link"]["commit"])
        done = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).with_name("render.py"))],
            cwd=self.scratch,
            input=json.dumps(jobs),
            capture_output=True,  # the post-gen hook speaks to those who have just made a repository
            text=True,
            env=environment(TMPDIR=str(self.scratch)),
            check=False,
        )
        if done.returncode:
            remedy = "An answer is changed with: make upgrade ANSWERS=\"NAME='the answer'\""
            raise UserError(f"{done.stderr.strip()}\n\nNothing was changed. {remedy}")
        return [next(Path(job["made"]).iterdir()) for job in jobs]
