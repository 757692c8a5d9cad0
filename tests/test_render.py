"""For every pair of choices, each rendered file parses and holds no leftover of the template."""

import ast
import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from conftest import EVERY_PAIR, TEMPLATE, as_in_a_terminal, choices, questions

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
EXAMPLE_FILES = {
    "images": {
        "src/{{cookiecutter.src_package_name}}/data.py",
        "src/{{cookiecutter.src_package_name}}/model.py",
        *(f"tests/images/{name}.png" for name in (
            "0-test-11", "1-test-8", "2-test-6", "3-test-10", "4-test-0", "5-test-9", "6-test-16", "7-test-4",
            "8-test-1", "9-test-2",
        )),
    },
    "table": {
        "src/{{cookiecutter.src_package_name}}/data.py",
        "src/{{cookiecutter.src_package_name}}/model.py",
        "tests/samples.csv",
    },
}  # fmt: skip


def named_for(file: str, condition: str) -> str:
    """A file's path in the template, when it is made only where the condition holds."""
    folder, _, name = file.rpartition("/")
    return f"{folder}{'/' if folder else ''}{{% if cookiecutter.{condition} %}}{name}{{% endif %}}"


CONDITIONAL = {named_for(file, f"ci_provider == '{ci}'") for ci, files in CI_FILES.items() for file in files}
CONDITIONAL |= {named_for(file, f"example == '{name}'") for name, files in EXAMPLE_FILES.items() for file in files}
CONDITIONAL |= {named_for("LICENSE", "open_source_license != 'No license file'")}
CONDITIONAL |= {named_for("renovate.json", "ci_provider != 'None'")}


PARSERS: dict[str, Callable[[str], object]] = {
    ".py": ast.parse,
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yml": lambda text: list(yaml.safe_load_all(text)),
    ".yaml": lambda text: list(yaml.safe_load_all(text)),
}


def in_words(answers: dict) -> str:
    """A test's id, such as `GitLab CI, MIT, Yes`."""
    return ", ".join(answers[name] for name in answers)


def files(repository: Path) -> list[Path]:
    """The files a repository was made with, without what tests that read it may have left."""
    found = (path.relative_to(repository) for path in sorted(repository.rglob("*")) if path.is_file())
    return [path for path in found if not {"__pycache__", ".ruff_cache"} & set(path.parts)]


def test_the_defaults_make_a_repository(bake):
    assert bake().name == "digit-reader"


def test_every_pair_of_choices_is_among_them():
    for (one, ones), (other, others) in itertools.combinations(choices().items(), 2):
        assert {(answers[one], answers[other]) for answers in EVERY_PAIR} == set(itertools.product(ones, others))


@pytest.mark.parametrize("answers", EVERY_PAIR, ids=in_words)
def test_every_file_parses_and_keeps_no_leftover(bake, answers):
    repository = bake(**answers)
    for path in files(repository):
        assert "{%" not in str(path) and "cookiecutter" not in str(path), path
        if path.suffix == ".png":
            continue
        content = (repository / path).read_text(encoding="utf-8")
        for number, line in enumerate(content.splitlines(), start=1):
            assert not [name for name in questions() if f"cookiecutter.{name}" in line], f"{path}:{number}: {line}"
        check_syntax(path, content)


def check_syntax(path: Path, content: str) -> None:
    """Parse a file by its suffix. A failure names the file and the line."""
    parse = PARSERS.get(path.suffix)
    try:
        assert parse is None or parse(content), f"{path}: it is empty"
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        pytest.fail(f"{path}: {error}", pytrace=False)  # each parser's message has the line
    assert content == "" or content.endswith("\n"), f"{path}:{len(content.splitlines())}: no newline at the end"


def tracked(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z"]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]


def expected_files(package: str, ci: str, license_: str, example: str) -> set[str]:
    """From the template's own tree: every file whose name has no condition, and those of the choices."""
    root = TEMPLATE / "{{cookiecutter.repo_name}}"
    listed = tracked(root)
    names = {name for name in listed if "{%" not in name}
    assert {name for name in listed if "{%" in name} == CONDITIONAL, "a new conditional file: say here for which choice"
    names |= EXAMPLE_FILES[example]
    names = {name.replace("{{cookiecutter.src_package_name}}", package) for name in names}
    names = {name.replace("{{cookiecutter.repo_name}}", "digit-reader") for name in names}
    names |= set() if license_ == "No license file" else {"LICENSE"}
    names |= set() if ci == "None" else {"renovate.json"}
    return names | CI_FILES[ci]


@pytest.mark.parametrize("answers", EVERY_PAIR, ids=in_words)
def test_the_set_of_files_is_exact(bake, answers):
    repository = bake(**answers)
    expected = expected_files(
        "digit_reader", answers["ci_provider"], answers["open_source_license"], answers["example"]
    )
    assert {str(path) for path in files(repository)} == expected
    assert not [folder for folder in repository.rglob("*") if folder.is_dir() and not any(folder.iterdir())]


@pytest.mark.parametrize(
    "answers", [{}, {"example": "table"}, {"project_name": "9 Lives of Ünïcode", "src_package_name": "zz"}], ids=str
)
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
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python = f"python {project['requires-python']}"
    assert environment["dependencies"] == [python, "pip", {"pip": ["-r requirements.txt"]}]


def test_every_extra_is_installed_by_setup_a_verb_ci_or_an_image_and_a_verb_says_how_large_its_own_is(bake):
    repository = bake(ci_provider="GitLab CI")
    extras = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    of_verbs = set(re.findall(r"^[a-z-]+: \$\(VENV\)/\.has-([a-z]+) ##", makefile, flags=re.MULTILINE))
    assert of_verbs == set(re.findall(r"^SIZE_([a-z]+) := \d+$", makefile, flags=re.MULTILINE))
    # The lock's uv; GitLab's images; the jupyter image; the images of training
    elsewhere = {"install", "registry", "workspace", "bucket"}
    assert set(extras) == of_verbs | {"data", "train"} | elsewhere


def test_what_is_copied_holds_no_jinja_and_covers_the_source():
    """Files that are not rendered stay as they are linted here, and make a third of the time that rendering takes."""
    root = TEMPLATE / "{{cookiecutter.repo_name}}"
    patterns = questions()["_copy_without_render"]

    def fits(path: str, pattern: str) -> bool:  # as a file, or with the folder that it is in
        return any(fnmatch(str(part), pattern) for part in (path, *Path(path).parents))

    copied = [path for path in tracked(root) if any(fits(path, pattern) for pattern in patterns)]
    assert all(any(fits(path, pattern) for path in copied) for pattern in patterns)
    # A file of one example only is rendered: cookiecutter leaves nothing out of what it copies.
    assert {path for path in tracked(root) if path.startswith("src/") and "{%" not in path} <= set(copied)
    for path in copied:
        content = (root / path).read_bytes()
        assert not [mark for mark in (b"{{", b"{%", b"{#") if mark in content and not path.endswith(".png")], path


def test_no_python_file_holds_jinja(bake):
    """A copied file is the template's own file, for any answers, so it can be linted and tested in the template."""
    root = TEMPLATE / "{{cookiecutter.repo_name}}"
    repository = bake(project_name="9 Lives of Ünïcode", src_package_name="zz")
    sources = [path for path in tracked(root) if path.endswith(".py") and (root / path).is_file()]
    assert {"src", "tests", "docker"} == {path.partition("/")[0] for path in sources}
    for path in sources:
        content = (root / path).read_bytes()
        assert not [mark for mark in (b"{{", b"{%", b"{#") if mark in content], path
        assert (repository / path.replace("{{cookiecutter.src_package_name}}", "zz")).read_bytes() == content, path


def test_runs_are_recorded_under_the_repositorys_name_whatever_the_package_is_called(bake):
    program = "from mlops import project; print(project.name())"
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
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)", makefile, flags=re.MULTILINE)
    assert verbs == set(phony.replace("\\", "").split())
    assert {"setup", "data", "train", "best", "package", "serve", "predict", "pipeline", "test", "lint"} <= verbs


def test_a_variable_that_a_verb_tells_of_reaches_its_command(bake):
    repository, told = bake(), {"canary": ["IMAGE", "CONTEXT"]}  # its help says "as deploy"
    for line in make(repository).stdout.splitlines():
        verb = line.split()[1]
        told[verb] = [*told.get(verb, []), *re.findall(r"\b([A-Z]+)=", line)]
    assert {"train", "deploy", "upgrade"} <= {verb for verb, names in told.items() if names}
    for verb, name in ((verb, name) for verb, names in told.items() for name in names):
        done = make(repository, "--dry-run", verb, f"{name}=zz9")
        assert "zz9" in done.stdout or f"${name}" in done.stdout, f"Makefile: {verb} does nothing with {name}"


@pytest.mark.slow
@pytest.mark.parametrize("pip", [["--without-pip"], []])
def test_a_setup_that_stopped_goes_on_and_until_then_is_named(bake, tmp_path, monkeypatch, pip):
    repository, venv = shutil.copytree(bake(), tmp_path / "repository"), tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", *pip, venv], check=True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for verb, told in (("setup", "No matching distribution found"), ("data", "not finished. Go on with: make setup")):
        done = make(repository, verb, f"VENV={venv}")
        assert done.returncode == 2 and told in done.stderr, done.stderr


@pytest.mark.parametrize("verb", ["data", "train", "pipeline", "test"])
def test_a_verb_without_the_environment_names_the_one_that_makes_it(bake, verb, tmp_path):
    done = make(bake(), verb, f"VENV={tmp_path / 'none'}")
    assert done.returncode != 0
    assert "Make it with: make setup" in done.stderr
