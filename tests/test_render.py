"""What a repository is made of: for every choice of every question each file parses, and none keeps a leftover."""

import ast
import json
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, as_in_a_terminal, questions

CHOICES = [
    (question, choice)
    for question, choices in questions().items()
    if isinstance(choices, list) and not question.startswith("_")
    for choice in choices
]
# The files that only some answers make
CI_FILES = {
    "GitHub Actions": {
        ".github/ISSUE_TEMPLATE/experiment.md",
        ".github/ISSUE_TEMPLATE/problem.md",
        ".github/pull_request_template.md",
        ".github/workflows/ci.yml",
        ".github/workflows/upgrade-check.yml",
        ".github/zizmor.yml",
    },
    "GitLab CI": {
        ".gitlab-ci.yml",
        ".gitlab/issue_templates/Experiment.md",
        ".gitlab/issue_templates/Problem.md",
        ".gitlab/merge_request_templates/Default.md",
    },
    "None": set(),
}


def named_for(file: str, condition: str) -> str:
    """A file's path in the template, when it is made only where the condition holds."""
    folder, _, name = file.rpartition("/")
    return f"{folder}{'/' if folder else ''}{{% if cookiecutter.{condition} %}}{name}{{% endif %}}"


CONDITIONAL = {named_for(file, f"ci_provider == '{ci}'") for ci, files in CI_FILES.items() for file in files}
CONDITIONAL |= {named_for("LICENSE", "open_source_license != 'No license file'")}


@pytest.fixture(scope="module")
def bake(cookies_session):
    """Make a repository with some answers, hooks and all; the same answers are made once."""
    made = {}

    def make(**answers) -> Path:
        key = tuple(sorted(answers.items()))
        if key not in made:
            result = cookies_session.bake(extra_context=answers)
            assert result.exception is None, result.exception
            made[key] = result.project_path
        return made[key]

    return make


def files(repository: Path) -> list[Path]:
    """The files a repository was made with, without what tests that read it may have left."""
    found = (path.relative_to(repository) for path in sorted(repository.rglob("*")) if path.is_file())
    return [path for path in found if not {"__pycache__", ".ruff_cache"} & set(path.parts)]


def test_the_defaults_make_a_repository(bake):
    assert bake().name == "digit-reader"


@pytest.mark.parametrize(("question", "choice"), CHOICES, ids=str)
def test_every_file_of_every_choice_parses_and_keeps_no_leftover(bake, question, choice):
    repository = bake(**{question: choice})
    for path in files(repository):
        if path.suffix == ".png":
            continue
        content = (repository / path).read_text(encoding="utf-8")
        assert not [name for name in questions() if f"cookiecutter.{name}" in content], path
        assert "{%" not in str(path), path
        check_syntax(path, content)


def check_syntax(path: Path, content: str) -> None:
    match path.suffix:
        case ".py":
            ast.parse(content, str(path))
        case ".json":
            json.loads(content)
        case ".toml":
            tomllib.loads(content)
        case ".yml" | ".yaml":
            assert list(yaml.safe_load_all(content)), path
    assert content == "" or content.endswith("\n"), f"{path} does not end with a newline"


def tracked(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z"]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]


def expected_files(package: str, ci: str, license_: str) -> set[str]:
    """From the template's own tree: every file whose name has no condition, and those of the choices."""
    root = TEMPLATE / "{{cookiecutter.repo_name}}"
    listed = tracked(root)
    names = {name for name in listed if "{%" not in name}
    assert {name for name in listed if "{%" in name} == CONDITIONAL, "a new conditional file: say here for which choice"
    names = {name.replace("{{cookiecutter.src_package_name}}", package) for name in names}
    names = {name.replace("{{cookiecutter.repo_name}}", "digit-reader") for name in names}
    return names | CI_FILES[ci] | (set() if license_ == "No license file" else {"LICENSE"})


@pytest.mark.parametrize("ci", CI_FILES)
@pytest.mark.parametrize("license_", questions()["open_source_license"])
def test_the_set_of_files_is_exact(bake, ci, license_):
    repository = bake(ci_provider=ci, open_source_license=license_)
    assert {str(path) for path in files(repository)} == expected_files("digit_reader", ci, license_)
    assert not [folder for folder in repository.rglob("*") if folder.is_dir() and not any(folder.iterdir())]


@pytest.mark.parametrize("answers", [{}, {"project_name": "9 Lives of Ünïcode", "src_package_name": "zz"}], ids=str)
def test_the_code_is_clean_by_the_repositorys_own_settings(bake, answers):
    repository = bake(**answers)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=repository, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_two_repositories_of_the_same_answers_are_the_same_byte_for_byte(cookies_session, bake):
    first, second = bake(), cookies_session.bake().project_path
    assert first != second
    assert files(first) == files(second)
    for path in files(first):
        assert (first / path).read_bytes() == (second / path).read_bytes(), path


def test_the_templates_version_is_the_same_everywhere(bake):
    version = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert questions()["__template_version"] == version
    assert json.loads((bake() / ".template-answers.json").read_text(encoding="utf-8"))["template_version"] == version
    headings = [
        line for line in (TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line[:3] == "## "
    ]
    assert headings[0].split()[1] == version


def test_the_conda_environment_holds_no_second_copy_of_a_version(bake):
    repository = bake()
    environment = yaml.safe_load((repository / "digit-reader-conda-env.yml").read_text(encoding="utf-8"))
    assert environment["dependencies"] == ["python=3.11", "pip", {"pip": ["-e .[working]"]}]
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [name for name in extras if name not in ("working", "workspace")]  # workspace: in the jupyter image only
    assert extras["working"] == [f"digit-reader[{','.join(needed)}]"]


def test_what_is_copied_holds_no_jinja_and_covers_the_source():
    """Files that are not rendered stay as they are linted here, and make a third of the time that rendering takes."""
    root = TEMPLATE / "{{cookiecutter.repo_name}}"
    patterns = questions()["_copy_without_render"]
    copied = [path for path in tracked(root) if any(fnmatch(path, pattern) for pattern in patterns)]
    assert all(any(fnmatch(path, pattern) for path in copied) for pattern in patterns)
    assert {path for path in tracked(root) if path.startswith("src/")} <= set(copied)
    for path in copied:
        content = (root / path).read_bytes()
        assert not [mark for mark in (b"{{", b"{%", b"{#") if mark in content and not path.endswith(".png")], path


def test_runs_are_recorded_under_the_repositorys_name_whatever_the_package_is_called(bake):
    program = "from zz import runs; print(runs.project())"
    command = [sys.executable, "-B", "-c", program]
    source = bake(project_name="9 Lives of Ünïcode", src_package_name="zz") / "src"
    done = subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    assert done.stdout == "ml-9-lives-of-unicode\n"


def make(repository: Path, *arguments: str) -> subprocess.CompletedProcess:
    """make as a person calls it, also where these tests are themselves run by make."""
    return subprocess.run(
        ["make", *arguments], cwd=repository, env=as_in_a_terminal(), check=False, capture_output=True, text=True
    )


def test_make_lists_every_verb_and_every_verb_is_listed(bake):
    repository = bake()
    listed = make(repository).stdout
    verbs = {line.split()[1] for line in listed.splitlines()}
    makefile = (repository / "Makefile").read_text(encoding="utf-8").splitlines()
    assert verbs == {line.split()[1] for line in makefile if line.startswith(".PHONY: ")}
    assert {"setup", "data", "train", "best", "package", "serve", "predict", "pipeline", "test", "lint"} <= verbs


@pytest.mark.parametrize("verb", ["data", "train", "pipeline", "test"])
def test_a_verb_without_the_environment_names_the_one_that_makes_it(bake, verb, tmp_path):
    done = make(bake(), verb, f"VENV={tmp_path / 'none'}")
    assert done.returncode != 0
    assert "Make it with: make setup" in done.stderr
