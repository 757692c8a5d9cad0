"""What a team reads when its repository is made: where it is, and three commands that can be pasted."""

import shlex
import subprocess

import pytest
from conftest import TEMPLATE, context_of, typed
from cookiecutter.generate import generate_files
from cookiecutter.main import cookiecutter

NEXT = ["git init && git add --all && git commit --message 'Start from the template'", "make setup pipeline"]


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
