"""A run's commit is the one that holds its code; where git has none or refuses, that is said, never guessed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlops import lineage

NOBODY = 12345  # a uid that is not ours


def git(folder: Path, *words: str) -> str:
    settings = ("user.name=a", "user.email=a@b", "init.defaultBranch=main", "commit.gpgsign=false")
    line = ["git", *(word for setting in settings for word in ("-c", setting)), *words]
    return subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(path: Path, text: str = "x = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_commit_in_the_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path) -> Path:
    """A repository whose code is committed."""
    folder = tmp_path / "repository"
    write(folder / "src/digit_reader/model.py")
    git(folder.parent, "init", "-q", folder.name)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Start")
    return folder


@pytest.fixture
def outer(repository) -> Path:
    """A larger repository, in whose folder `team/digits` is a team's, not committed yet."""
    write(repository / "team/digits/src/digit_reader/model.py")
    return repository


def test_the_commit_and_whether_files_differ(repository):
    head = git(repository, "rev-parse", "HEAD")
    assert lineage.commit(repository) == (head, False)
    write(repository / "new.py")
    assert lineage.commit(repository) == (head, True)
    git(repository, "add", ".")
    assert lineage.commit(repository) == (head, True)


def test_without_a_repository_or_a_commit_there_is_none_and_nothing_is_said(tmp_path, capfd):
    write(tmp_path / "src/digit_reader/model.py")
    assert lineage.commit(tmp_path) == (None, None)
    git(tmp_path, "init", "-q")
    assert lineage.commit(tmp_path) == (None, None)
    assert capfd.readouterr().err == ""


def test_a_repository_around_this_one_that_does_not_hold_it_gives_no_commit(outer):
    assert lineage.commit(outer / "team/digits") == (None, None)


def test_what_changes_elsewhere_in_a_larger_repository_makes_no_run_dirty(outer):
    digits = outer / "team/digits"
    git(outer, "add", ".")
    git(outer, "commit", "-qm", "Take the digits in")
    head = git(outer, "rev-parse", "HEAD")
    write(outer / "somebody/elses.py")
    write(outer / "src/digit_reader/model.py", "x = 2\n")
    assert lineage.commit(digits) == (head, False)
    write(digits / "src/digit_reader/model.py", "x = 2\n")
    assert lineage.commit(digits) == (head, True)


def test_the_variables_of_a_hook_lead_to_no_other_repository(repository, tmp_path, monkeypatch):
    other = tmp_path / "other"
    write(other / "src/other.py")
    git(tmp_path, "init", "-q", "other")
    git(other, "add", ".")
    git(other, "commit", "-qm", "Another")
    expected = git(repository, "rev-parse", "HEAD"), False
    assert expected[0] != git(other, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert lineage.commit(repository) == expected


def test_a_repository_of_another_user_gives_gits_own_words_and_no_commit(repository, tmp_path, monkeypatch, capfd):
    if os.getuid():
        pytest.skip("only root can give a folder to another user")
    monkeypatch.setenv("HOME", str(tmp_path))  # no safe.directory of ours
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for path in (repository, *repository.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    assert lineage.commit(repository) == (None, None)
    told = capfd.readouterr().err
    assert "No commit is recorded" in told
    assert "dubious ownership" in told and "safe.directory" in told


def test_git_is_understood_in_every_language(repository, tmp_path, monkeypatch, capfd):
    """The message "not a git repository" is understood in German too, and is no reason for a warning."""
    words = 'test "$LC_ALL" = C && echo "fatal: not a git repository" || echo "fatal: kein Git-Repository"'
    write(tmp_path / "bin/git", f"#!/bin/sh\nexec >&2\n{words}\nexit 128\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert lineage.commit(repository) == (None, None)
    assert capfd.readouterr().err == ""


def test_a_machine_without_git_records_no_commit(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lineage.commit(repository) == (None, None)


@pytest.mark.parametrize(("dirty", "expected"), [("", False), ("true", True), ("false", False)])
def test_an_image_says_its_commit_itself(repository, tmp_path, monkeypatch, dirty, expected):
    monkeypatch.setenv("MLOPS_COMMIT", "c" * 40)
    monkeypatch.setenv("MLOPS_DIRTY", dirty)
    image = tmp_path / "image"
    image.mkdir()
    assert lineage.commit(image) == ("c" * 40, expected)


def test_a_clone_in_a_workspace_has_its_own_commit_and_not_the_images(repository, monkeypatch):
    before = lineage.commit(repository)
    monkeypatch.setenv("MLOPS_COMMIT", "c" * 40)
    monkeypatch.setenv("GIT_COMMIT", "d" * 40)  # as Jenkins sets it for another repository
    assert lineage.commit(repository) == before


def test_a_run_records_the_commit_of_the_repository_that_its_code_is_in(
    repository, team, environment, workplace, data_file, tmp_path
):
    """The working directory and git's variables for hooks make no difference."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(team.package.parent, repository / "src", dirs_exist_ok=True, ignore=ignored)
    shutil.copy(team.package.parents[1] / "pyproject.toml", repository)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "All of it")
    around = environment | {
        "PYTHONPATH": str(repository / "src"),
        "GIT_DIR": "/nowhere/.git",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    around |= {"MLOPS_OUTPUTS": str(tmp_path / "outputs")}
    words = [sys.executable, "-m", team.package.name, "train", "--train-steps", "1", "--data", str(data_file)]
    done = subprocess.run(words, cwd=workplace, env=around, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.glob("outputs/runs/*/run.plx.json")
    inputs = json.loads(record.read_text(encoding="utf-8"))["inputs"]
    assert (inputs["commit"], inputs["dirty"]) == (git(repository, "rev-parse", "HEAD"), False)
