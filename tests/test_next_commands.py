"""A new repository tells where it is, and three commands that can be pasted."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE, context_of, typed
from cookiecutter.generate import generate_files
from cookiecutter.main import cookiecutter

NEXT = ["git init -b main && git add --all && git commit --message 'Start from the template'", "make setup pipeline"]


def commands(told):
    return [line.strip() for line in told.splitlines() if line.startswith("  ")]


def make(folder, settings_file, **options):
    with typed({}):
        return cookiecutter(str(TEMPLATE), output_dir=folder, config_file=settings_file, **options)


@pytest.mark.parametrize("folder", ["plain", "with space", "it's", '$(touch pwned); "x"', "数字"])
def test_the_commands_can_be_pasted_whatever_the_folder_is_called(tmp_path, settings_file, capfd, folder):
    made = make(tmp_path / folder, settings_file)
    go, *rest = commands(capfd.readouterr().out)
    assert shlex.split(go) == ["cd", made] and rest == NEXT
    there = subprocess.run(
        ["sh", "-c", f"{go} && pwd"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert there == f"{made}\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize(
    "program", [["-m", "cookiecutter", TEMPLATE], [TEMPLATE / "tools/new.py"]], ids=["plain", "new"]
)
def test_a_folder_that_the_terminal_cannot_show_costs_no_repository(tmp_path, settings_file, encoding, program):
    folder = tmp_path / "née プロジェクト"
    command = [sys.executable, *program, "--config-file", settings_file, "--output-dir", folder, "--no-input"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert str(folder).encode(encoding, "backslashreplace") in done.stdout
    assert (folder / "digit-reader/Makefile").exists()


@pytest.mark.parametrize("redirection", ["| true", ">&-", "> /dev/full"])
def test_an_output_that_takes_nothing_costs_no_repository(tmp_path, redirection):
    script = f"exec '{sys.executable}' '{TEMPLATE}/hooks/post_gen_project.py'"
    command = ["bash", "-c", f"set -o pipefail; (sleep 0.2; {script}) {redirection}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_the_first_commit_is_on_the_branch_that_ci_waits_for(tmp_path, settings_file, capfd):
    make(tmp_path, settings_file)
    go, start, _ = commands(capfd.readouterr().out)
    person = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    settings = {"HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    command = ["sh", "-c", f"{go} && {start} && git branch --show-current"]
    done = subprocess.run(command, env=os.environ | person | settings, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "main"


def test_writing_over_keeps_the_files_that_a_team_added(tmp_path, settings_file):
    root = make(tmp_path, settings_file)
    added = [
        Path(root, name) for name in ("mine.txt", "src/digit_reader/mine.py", "tests/test_mine.py", "docs/mine.md")
    ]
    for file in added:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    make(tmp_path, settings_file, overwrite_if_exists=True)
    assert [file.read_text() for file in added] == ["mine"] * len(added)


def test_writing_over_and_a_replay_tell_the_same(tmp_path, settings_file, capfd):
    make(tmp_path, settings_file)
    first = capfd.readouterr().out
    make(tmp_path, settings_file, overwrite_if_exists=True)
    assert capfd.readouterr().out == first
    make(tmp_path, settings_file, overwrite_if_exists=True, replay=True)
    assert capfd.readouterr().out == first


def test_an_update_tool_renders_twice_and_the_hook_changes_no_file(tmp_path):
    """cruft calls generate_files in a temporary folder with no output folder in the context."""
    with_hooks, without = tmp_path / "with", tmp_path / "without"
    context = {"cookiecutter": context_of() | {"_template": str(TEMPLATE), "_commit": "0" * 40}}
    for output, hooks in ((with_hooks, True), (with_hooks, True), (without, False)):
        generate_files(TEMPLATE, context, output_dir=output, overwrite_if_exists=True, accept_hooks=hooks)
    roots = (with_hooks, without)
    files = [{path.relative_to(root) for path in root.rglob("*") if path.is_file()} for root in roots]
    assert files[0] == files[1]
