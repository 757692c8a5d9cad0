"""`make check` finds mistakes in CI's files, GitHub's and GitLab's, and names the file and the place."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from mlops import cli

GITHUB, GITLAB = ".github/workflows/ci.yml", ".gitlab-ci.yml"
LEFT, RIGHT = "{" * 2, "}" * 2
FILES = {
    GITHUB: f"""name: CI
on:
  pull_request:
permissions: {LEFT[0]}{RIGHT[0]}
jobs:
  check:
    runs-on: ubuntu-24.04
    permissions:
      contents: read
    steps:
      - uses: actions/checkout@v6
        with:
          persist-credentials: false
      - run: make lint
""",
    ".github/zizmor.yml": """rules:
  unpinned-uses:
    config:
      policies:
        "*": ref-pin
""",
    GITLAB: """stages: [check, images]
check:
  stage: check
  script:
    - make lint
push:
  stage: images
  needs: [check]
  script:
    - make push
""",
}
# Each: file, what it says, the mistake in its place, and what the finding says.
MISTAKES = {
    "a misspelt key": (GITHUB, "runs-on:", "run-on:", ["ci.yml: line 7", "run-on"]),
    "an unknown context": (
        GITHUB, "make lint", f"echo ${LEFT} steps.none.outputs.x {RIGHT}", ["ci.yml: line 14", "none"],
    ),
    "a mistake in a script": (GITHUB, "make lint", "cd $HOME/x; make", ["ci.yml: line 14", "SC2086"]),
    "an answer of a stranger in a script": (
        GITHUB, "make lint", f"echo ${LEFT} github.event.pull_request.title {RIGHT}", ["ci.yml: line 14", "untrusted"],
    ),
    "credentials that stay": (
        GITHUB, "        with:\n          persist-credentials: false\n", "", ["ci.yml: line 11", "artipacked"],
    ),
    "every right there is": (
        GITHUB, "    permissions:\n      contents: read\n", "    permissions: write-all\n", ["excessive-permissions"],
    ),
    "a trigger with a stranger's code and our rights": (
        GITHUB, "pull_request:", "pull_request_target:", ["dangerous-triggers"],
    ),
    "an action of an old runtime": (GITHUB, "checkout@v6", "checkout@v2", ["ci.yml: line 11", "checkout@v2"]),
    "an action without a version": (GITHUB, "checkout@v6", "checkout", ["ci.yml: line 11"]),
    "a tag once digests are wanted": (
        ".github/zizmor.yml", "ref-pin", "hash-pin", ["ci.yml: line 11", "unpinned-uses"],
    ),
    "a misspelt key of a job": (GITLAB, "  stage: images", "  stages: images", [".gitlab-ci.yml: push", "stages"]),
    "a job that runs nothing": (
        GITLAB, "  script:\n    - make push", "  when: always", [".gitlab-ci.yml: push", "runs nothing"],
    ),
    "a value of the wrong type": (GITLAB, "  needs: [check]", "  timeout: [1]", [".gitlab-ci.yml", "timeout"]),
    "a need of no job": (GITLAB, "needs: [check]", "needs: [chek]", ["push.needs", "there is no job chek"]),
    "no YAML": (GITLAB, "stages: [check, images]", "stages: [check", [".gitlab-ci.yml"]),
}  # fmt: skip


@pytest.fixture
def check(team):
    """Run `python -m digit_reader check` in this process, which loads Polyaxon only once."""

    def run(root: Path, *names: str):
        return CliRunner().invoke(cli.stages(team), ["check", "--root", str(root), *names])

    return run


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_files_without_a_mistake_pass(files, check):
    answer = check(files, "ci")
    assert answer.exit_code == 0 and answer.output == "ci: ok\n", answer.output


def test_a_team_without_ci_has_nothing_to_fix(tmp_path, check):
    assert check(tmp_path, "ci").output == "ci: ok\n"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(files, check, mistake):
    name, right, wrong, said = MISTAKES[mistake]
    text = FILES[name]
    assert right in text, "the mistake no longer fits the file"
    (files / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    answer = check(files, "ci")
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.output
    findings = [line for line in answer.output.splitlines() if line.startswith("  ")]
    assert any(all(word in line for word in said) for line in findings), answer.output


@pytest.mark.parametrize(("variables", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_without_the_tools_it_is_not_checked_and_fails_in_ci(files, check, monkeypatch, variables, code):
    monkeypatch.setattr("mlops.platform.findings.shutil.which", lambda name, path: None)
    monkeypatch.delenv("CI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = check(files, "ci")
    assert answer.exit_code == code and "ci: NOT CHECKED: " in answer.output and "make setup" in answer.output
