"""Shared by the tests: the template, its rules as a module, and repositories made once and read by many tests."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest import mock

import pre_gen_project
import pytest
from cookiecutter import prompt
from cookiecutter.generate import generate_context
from cookiecutter.main import cookiecutter
from cookiecutter.utils import create_env_with_context

TEMPLATE = Path(__file__).resolve().parent.parent
NO_KEY, KEY = "Workload Identity", "Key file"
# Each choice of a question beside each of every other question's, in as few repositories as that takes.
EVERY_PAIR = [
    {
        "gcr_personal_subdir": subdir, "gcp_credentials": credentials, "ci_provider": ci,
        "open_source_license": license_, "example": example,
    }
    for ci, license_, subdir, example, credentials in [
        ("GitHub Actions", "MIT", "No", "images", NO_KEY),
        ("GitHub Actions", "BSD-3-Clause", "Yes", "table", KEY),
        ("GitHub Actions", "No license file", "No", "table", NO_KEY),
        ("GitLab CI", "MIT", "Yes", "images", KEY),
        ("GitLab CI", "BSD-3-Clause", "No", "images", NO_KEY),
        ("GitLab CI", "No license file", "Yes", "table", NO_KEY),
        ("None", "MIT", "No", "table", KEY),
        ("None", "BSD-3-Clause", "Yes", "images", NO_KEY),
        ("None", "No license file", "Yes", "images", KEY),
    ]
]  # fmt: skip
# What is started would ignore them too: SIGINT in a shell's background job, SIGHUP under nohup.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def as_in_a_terminal() -> dict[str, str]:
    """The environment without what a make above these tests hands on: its own flags, and this template's variables."""
    ours = ("ARGS", "OUT", "VENV", "SERVING_VENV")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS")) and name not in ours
    }


def questions() -> dict:
    """cookiecutter.json as it stands."""
    return json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))


def choices() -> dict[str, list[str]]:
    """The questions that are answered by a choice, with what there is to choose."""
    return {name: value for name, value in questions().items() if isinstance(value, list) and name[0] != "_"}


def typed(answers: dict[str, str]):
    """While this lasts, the prompts are answered: cookiecutter takes these as typed, and the default for the rest."""
    return mock.patch.multiple(
        prompt,
        read_user_variable=lambda name, default, *_: answers.get(name, default),
        read_user_choice=lambda name, options, *_: answers.get(name, options[0]),
    )


def context_of(**answers: str) -> dict:
    """The context that cookiecutter makes of the answers, private variables included."""
    with typed(answers):
        return prompt.prompt_for_config(generate_context(str(TEMPLATE / "cookiecutter.json")))


def expression(variable: str) -> Callable[..., str]:
    """The private variable as a function of the answers it reads, compiled once by cookiecutter's own environment."""
    template = create_env_with_context({}).from_string(questions()[variable])

    def render(**answers: str) -> str:
        return template.render(cookiecutter=answers)

    return render


@pytest.fixture(scope="session")
def rules() -> ModuleType:
    """hooks/pre_gen_project.py. It is a valid module before Jinja renders it; only main() reads the answers."""
    return pre_gen_project


@pytest.fixture(scope="session")
def settings_file(tmp_path_factory) -> Path:
    """A user's configuration of cookiecutter that keeps replays out of the home folder of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("cookiecutter")
    file = folder / "config.yaml"
    file.write_text(f"cookiecutters_dir: {folder}\nreplay_dir: {folder / 'replay'}\n", encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def bake(cookies_session) -> Callable[..., Path]:
    """Make a repository as `cookiecutter --no-input` does, hooks and all; the same answers are made once.

    cookiecutter renders answers that are given so: for those that hold braces there is `make_repository`.
    """
    made: dict[tuple, Path] = {}

    def make(**answers: str) -> Path:
        key = tuple(sorted(answers.items()))
        if key not in made:
            result = cookies_session.bake(extra_context=answers)
            assert result.exception is None, result.exception
            made[key] = result.project_path
        return made[key]

    return make


@pytest.fixture(scope="session")
def make_repository(tmp_path_factory, settings_file) -> Callable[..., Path]:
    """Make a repository of typed answers, hooks and all; the same answers are made once."""
    made: dict[str, Path] = {}

    def make(**answers: str) -> Path:
        key = json.dumps(answers, sort_keys=True)
        if key not in made:
            with typed(answers):
                output = tmp_path_factory.mktemp("made")
                made[key] = Path(cookiecutter(str(TEMPLATE), output_dir=output, config_file=settings_file))
        return made[key]

    return make


@pytest.fixture(scope="module")
def good_context():
    return context_of()


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """A copy of this template with one release, 1.0.0."""
    from releases import Releases  # noqa: PLC0415 - it imports this module

    return Releases(tmp_path_factory.mktemp("first") / "template")


@pytest.fixture(scope="session")
def made(first, tmp_path_factory) -> Path:
    """A repository made from 1.0.0 and committed; tests take copies."""
    from releases import commit, create, git  # noqa: PLC0415

    team = create(first, tmp_path_factory.mktemp("made"))
    git(team, "init", "--quiet", "--initial-branch=main")
    commit(team, "Start from the template")
    git(team, "repack", "-adq")  # copied often
    return team


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A folder with the small template, and a repository made from it by cruft, which knows the template beside it."""
    from releases import Small, commit, create, git  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("small")
    team = create(Small(folder / "template"), folder, region="europe").rename(folder / "team")
    link = json.loads((team / ".cruft.json").read_text())
    (team / ".cruft.json").write_text(json.dumps(link | {"template": "../template"}, indent=2))
    git(team, "init", "--quiet", "--initial-branch=main")
    commit(team, "Start from the template")
    return folder


@pytest.fixture
def releases(small, tmp_path):
    """A copy of the small template, for a test to add releases to."""
    from releases import Small  # noqa: PLC0415

    return Small.at(small / "template").copy(tmp_path / "template")


@pytest.fixture
def team(small, releases, tmp_path) -> Path:
    """A copy of the repository that was made from the small template; it knows `releases` beside it."""
    return Path(shutil.copytree(small / "team", tmp_path / "team"))


@pytest.fixture(scope="session")
def year(tmp_path_factory):
    """The small template with its twelve releases."""
    from year import make_year  # noqa: PLC0415

    return make_year(tmp_path_factory.mktemp("year") / "template")
