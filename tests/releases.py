"""Releases for a test: of a copy of this template, or of a small one, in a git repository of their own.

What a test changes, it adds (a line at a file's top or end): so nothing here depends on what the files say.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import ClassVar, Self

import pytest
from conftest import TEMPLATE, as_in_a_terminal

ROOT = "{{cookiecutter.repo_name}}"
PACKAGE = "src/{{cookiecutter.src_package_name}}"
PARTS = ("cookiecutter.json", "pyproject.toml", "CHANGELOG.md", "hooks", "templates", ROOT)
CACHES = shutil.ignore_patterns("__pycache__", ".ruff_cache", ".pytest_cache")
FIRST = "1.0.0"
EXHAUSTIVE = "EXHAUSTIVE" in os.environ  # every case of the long tables; without it a sample, as CI takes it
IDENTITY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_EDITOR": "true",
    **{f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def slow(*cases: object) -> list:
    """Cases of a parametrized test that run with the slow ones."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]


def sampled(numbers: range, count: int) -> list[int]:
    """Return all the numbers, or so many of them, evenly spread, the first and the last among them."""
    if EXHAUSTIVE or len(numbers) <= count:
        return list(numbers)
    return [numbers[n * (len(numbers) - 1) // (count - 1)] for n in range(count)]


def environment(**more: str) -> dict[str, str]:
    """As in a terminal: what make or git said to a process above these tests is not handed on."""
    kept = {name: value for name, value in as_in_a_terminal().items() if not name.startswith("GIT_")}
    return kept | IDENTITY | more


def call(folder: Path, *command: object, code: int | None = 0, **more: str) -> subprocess.CompletedProcess:
    """Run a command; its exit code must be `code`, unless that is None."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=600,  # a bound, on a machine that others use too
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert code is None or done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def git(folder: Path, *arguments: object, code: int | None = 0) -> str:
    return call(folder, "git", *arguments, code=code).stdout


def commit(folder: Path, message: str = "change") -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def prepend(path: Path, line: str) -> None:
    path.write_text(f"{line}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")


class Releases:
    """The copy; `folder` is its address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / ROOT
        folder.mkdir()
        for name in PARTS:
            source = TEMPLATE / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=CACHES)
            else:
                shutil.copy(source, folder / name)
        git(folder, "init", "--quiet", "--initial-branch=main")
        self.release(FIRST, "- The first.")
        git(folder, "repack", "-adq")  # copied often

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Those that are in a folder already."""
        releases = object.__new__(cls)
        releases.folder, releases.root = folder, folder / ROOT
        return releases

    def copy(self, folder: Path) -> Self:
        return self.at(Path(shutil.copytree(self.folder, folder)))

    def release(self, version: str, news: str) -> None:
        """Write the version wherever this template has it, commit and tag."""
        self.set("__template_version", version)
        project = self.folder / "pyproject.toml"
        text = re.sub(r'(?m)^version = "[^"]*"', f'version = "{version}"', project.read_text(encoding="utf-8"), count=1)
        project.write_text(text, encoding="utf-8")
        changelog = self.folder / "CHANGELOG.md"
        title, _, older = changelog.read_text(encoding="utf-8").partition("\n## ")
        older = "" if version == FIRST else f"\n## {older}"
        changelog.write_text(
            f"{title}\n## {version} (2026-12-01)\n\n{news}\n\nWhat you must do: nothing.\n{older}", encoding="utf-8"
        )
        commit(self.folder, version)
        git(self.folder, "tag", f"v{version}")

    def questions(self) -> dict:
        return json.loads((self.folder / "cookiecutter.json").read_text(encoding="utf-8"))

    def write_questions(self, questions: dict) -> None:
        (self.folder / "cookiecutter.json").write_text(json.dumps(questions, indent=2), encoding="utf-8")

    def set(self, name: str, value: object) -> None:
        self.write_questions(self.questions() | {name: value})

    def ask(self, name: str, default: object) -> None:
        """Add a question, before the private variables."""
        old = list(self.questions().items())
        place = next(index for index, (key, _) in enumerate(old) if key.startswith("_"))
        self.write_questions(dict([*old[:place], (name, default), *old[place:]]))


class Small(Releases):
    """A template of a few files, so that a test can take many releases of it; its own `src/mlops` holds no program."""

    FILES: ClassVar = {
        "Makefile": "".join(f"verb-{number}:\n\t@echo {number}\n\n" for number in range(8)),
        "README.md": "# {{ cookiecutter.project_name }}\n" + "".join(f"\nParagraph {number}.\n" for number in range(8)),
        "pyproject.toml": '[project]\nname = "{{ cookiecutter.repo_name }}"\ndependencies = [\n'
        + "".join(f'  "library-{name}==1.0",\n' for name in "abcdefgh")
        + ']\n\n[tool.upgrade]\nteam = ["src/team/*", "tests/*", "README.md", "pyproject.toml"]\n',
        "config.yml": "region: {{ cookiecutter.region }}\n"
        + "".join(f"setting_{number}: {number}\n" for number in range(8)),
        "docs/guide.md": "".join(f"Step {number}.\n\n" for number in range(8)),
        "src/mlops/__init__.py": "",
        "src/mlops/runs.py": "".join(f"RUNS_{number} = {number}\n" for number in range(8)),
        "src/mlops/client.py": "".join(f"CLIENT_{number} = {number}\n" for number in range(8)),
        "src/team/model.py": "".join(f"MODEL_{number} = {number}\n" for number in range(8)),
        "src/team/data.py": "from mlops import client\n"
        + "".join(f"DATA_{number} = {number}\n" for number in range(8)),
        "tests/test_client.py": "from mlops import client\n\n\ndef test_it():\n    assert client.CLIENT_1\n",
    }
    QUESTIONS: ClassVar = {
        "project_name": "Small",
        "repo_name": "small",
        "region": "asia",
        "ci": ["github", "gitlab", "none"],
        "__template_version": FIRST,
    }

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / ROOT
        for name, text in self.FILES.items():
            self.write(name, text)
        shutil.copy(TEMPLATE / ROOT / ".template-answers.json", self.root)
        self.write_questions(self.QUESTIONS)
        (folder / "pyproject.toml").write_text(f'version = "{FIRST}"\n')
        (folder / "CHANGELOG.md").write_text("# Changelog\n")
        git(folder, "init", "--quiet", "--initial-branch=main")
        self.release(FIRST, "- The first.")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


# `make upgrade` without make, in an environment with cookiecutter: this one. It runs the repository's own program.
UPGRADE = (sys.executable, "-P", "-m", "mlops.upgrade")


def on_path(source: Path) -> dict[str, str]:
    """The variable that the Makefile sets: a team's own jinja2.py must not take the place of the environment's."""
    return {"PYTHONPATH": f"{sysconfig.get_path('purelib')}{os.pathsep}{source}"}


def upgrade(team: Path, *arguments: object, code: int | None = 0, **env: str) -> subprocess.CompletedProcess:
    done = call(team, *UPGRADE, *arguments, code=code, **(on_path(team / "src") | env))
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "Next:" not in done.stdout + done.stderr
    return done


def upgrade_by_the_templates(
    team: Path, *arguments: object, code: int | None = 0, **env: str
) -> subprocess.CompletedProcess:
    """The same with this template's program, in a repository of `Small`."""
    return upgrade(team, *arguments, code=code, **(on_path(TEMPLATE / ROOT / "src") | env))


def create(releases: Releases, output: Path, version: str = FIRST, **answers: str) -> Path:
    """A repository made by `cruft create`."""
    call(
        output,
        *(
            "cruft",
            "create",
            releases.folder,
            "--checkout",
            f"v{version}" if version[1:2] == "." else version,
            "--no-input",
            "--default-config",
        ),
        *("--output-dir", output, "--extra-context", json.dumps(answers)),
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    return next(
        output / name
        for name in (answers.get("repo_name", ""), "digit-reader", "small")
        if name and (output / name).is_dir()
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that git does not ignore, with what is in it, but for cruft's own file."""
    names = git(folder, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")[:-1]
    return {name: (folder / name).read_bytes() for name in names if name != ".cruft.json" and (folder / name).is_file()}


def status(folder: Path) -> str:
    return git(folder, "status", "--porcelain", "--untracked-files=all")


def undo_command(told: str) -> list[str]:
    """The command that the program prints, for a shell."""
    return ["sh", "-c", told.split("Undo all of it at any time before you commit: ")[1].splitlines()[0]]


def venv_like_ours(venv: Path) -> Path:
    """An environment as `make upgrade` makes it, whose Python is the one of these tests."""
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (venv / "bin/python").chmod(0o755)
    (venv / "lib").symlink_to(Path(sysconfig.get_path("purelib")).parents[1])
    (venv / ".installed").touch()
    return venv
