"""`make lint` finds mistakes in CI's files, GitHub's and GitLab's, and names the file and the place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

HOOKS, PROGRAM = ".pre-commit-config.yaml", "src/mlops/platform/tool.sh"

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
    "a misspelt key": (GITHUB, "runs-on:", "run-on:", ["ci.yml:7", "run-on"]),
    "an unknown context": (
        GITHUB, "make lint", f"echo ${LEFT} steps.none.outputs.x {RIGHT}", ["ci.yml:14", "none"],
    ),
    "a mistake in a script": (GITHUB, "make lint", "cd $HOME/x; make", ["ci.yml:14", "SC2086"]),
    "an answer of a stranger in a script": (
        GITHUB, "make lint", f"echo ${LEFT} github.event.pull_request.title {RIGHT}", ["ci.yml:14", "untrusted"],
    ),
    "credentials that stay": (
        GITHUB, "        with:\n          persist-credentials: false\n", "", ["ci.yml:11", "artipacked"],
    ),
    "every right there is": (
        GITHUB, "    permissions:\n      contents: read\n", "    permissions: write-all\n", ["excessive-permissions"],
    ),
    "a trigger with a stranger's code and our rights": (
        GITHUB, "pull_request:", "pull_request_target:", ["dangerous-triggers"],
    ),
    "an action of an old runtime": (GITHUB, "checkout@v6", "checkout@v2", ["ci.yml:11", "checkout@v2"]),
    "an action without a version": (GITHUB, "checkout@v6", "checkout", ["ci.yml:11"]),
    "a tag once digests are wanted": (
        ".github/zizmor.yml", "ref-pin", "hash-pin", ["ci.yml:11", "unpinned-uses"],
    ),
    "a misspelt key of a job": (GITLAB, "  stage: images", "  stages: images", [".gitlab-ci.yml", "push", "stages"]),
    "a value of the wrong type": (GITLAB, "  needs: [check]", "  timeout: [1]", [".gitlab-ci.yml", "timeout"]),
    "no YAML": (GITLAB, "stages: [check, images]", "stages: [check", [".gitlab-ci.yml"]),
}  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository of these files, with the hooks of CI's files."""
    content = yaml.safe_load((ROOT / HOOKS).read_text(encoding="utf-8"))
    wanted = ("workflows", "unsafe-workflows", "gitlab")
    content["repos"][0]["hooks"] = [hook for hook in content["repos"][0]["hooks"] if hook["id"] in wanted]
    assert len(content["repos"][0]["hooks"]) == len(wanted)
    files = FILES | {HOOKS: yaml.safe_dump(content), PROGRAM: (ROOT / PROGRAM).read_text(encoding="utf-8")}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def lint(repository: Path) -> subprocess.CompletedProcess:
    """Run the hooks over all files, as `make lint` does."""
    subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    around = os.environ | {"VENV": sys.prefix}
    return subprocess.run(command, cwd=repository, env=around, capture_output=True, text=True, timeout=300, check=False)


def test_files_without_a_mistake_pass(repository):
    done = lint(repository)
    assert done.returncode == 0 and done.stdout.count("Passed") == 3, done.stdout + done.stderr


def test_a_team_without_ci_has_nothing_to_fix(repository):
    shutil.rmtree(repository / ".github")
    (repository / GITLAB).unlink()
    done = lint(repository)
    assert done.returncode == 0 and done.stdout.count("Skipped") == 3, done.stdout + done.stderr


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(repository, mistake):
    name, right, wrong, said = MISTAKES[mistake]
    text = FILES[name]
    assert right in text, "the mistake no longer fits the file"
    (repository / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    done = lint(repository)
    assert done.returncode == 1, done.stdout + done.stderr
    assert all(word in done.stdout for word in said), done.stdout
