"""`make new` explains every failure in a sentence with a remedy, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys

import new
import pytest
from conftest import TEMPLATE, as_in_a_terminal, context_of

SCRIPT = TEMPLATE / "tools/new.py"


@pytest.fixture
def run(tmp_path, settings_file, capfd):
    def call(*arguments):
        code = new.main(["--config-file", str(settings_file), "--output-dir", str(tmp_path), *arguments])
        told = capfd.readouterr()
        assert "Traceback" not in told.err + told.out
        return code, told.out, told.err

    return call


def test_a_new_repository_prints_the_next_commands(run, tmp_path):
    code, told, _ = run("--no-input", "project_name=Digit Reader")
    assert code == 0
    assert f"cd {tmp_path}/digit-reader" in told and "make setup pipeline" in told
    assert [path.name for path in tmp_path.iterdir()] == ["digit-reader"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("gcr_personal_subdir=Maybe", ['gcr_personal_subdir: "Maybe"', "one of: No, Yes"]),
        ("gcr_personal_subdir=yes", ["try:   Yes"]),
        ("open_source_license=GPL", ["one of: MIT, BSD-3-Clause, No license file"]),
        ("gcp_project_id=My_Project", ['gcp_project_id: "My_Project"', "try:   my-project"]),
        ("repo_name=a/b", ['repo_name: "a/b"', "try:   a-b"]),
        ("repo_name=../evil", ['repo_name: "../evil"', "try:   evil"]),
        ("repo_name=a/b/../c", ["repo_name: "]),
        ("repo_name=", ['repo_name: ""', "is empty"]),
        ("repo_name=..", ['repo_name: ".."']),
        ("repo_name=" + "a" * 300, ["has 300 characters", "at most 40"]),
        ("gcp_projectid=my-project", ["no question", "Did you mean gcp_project_id?"]),
        ("zzz=1", ["no question", "project_name, description"]),
        ("__image_prefix=x", ["no question"]),
        ("description={% if", ["answers that are given there", "type this one at its prompt"]),
        ("description={{ nothing }}", ["answers that are given there"]),
    ],
)
def test_an_answer_that_cannot_work_is_a_sentence(run, tmp_path, answer, told):
    beside = set(tmp_path.parent.iterdir())
    code, out, err = run("--no-input", answer)
    assert code == 1 and not out
    assert all(part in err for part in told)
    assert not list(tmp_path.iterdir()) and set(tmp_path.parent.iterdir()) == beside


def test_a_repository_that_exists_is_kept_and_the_remedies_are_printed(run, tmp_path):
    run("--no-input")
    mine = tmp_path / "digit-reader/mine.txt"
    mine.write_text("mine")
    code, _, told = run("--no-input")
    assert code == 1 and f"exists already in {tmp_path}" in told and "--overwrite-if-exists" in told
    assert "try:   digit-reader-2" in told
    code, out, _ = run("--no-input", "--overwrite-if-exists")
    assert code == 0 and "make setup pipeline" in out and mine.read_text() == "mine"


def test_a_folder_that_a_wrong_name_shares_is_kept(run, tmp_path):
    (tmp_path / "a").mkdir()
    code, _, _ = run("--no-input", "repo_name=a/b")
    assert code == 1 and [path.name for path in tmp_path.rglob("*")] == ["a"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        ("{", "Nothing was made"),
        ("[]", "not a replay"),
        ('{"cookiecutter": 5}', "not a replay"),
    ],
)
def test_a_replay_that_cannot_be_read_is_a_sentence(run, tmp_path_factory, tmp_path, content, told):
    file = tmp_path_factory.mktemp("replay") / "replay.json"
    if content is not None:
        file.write_text(content)
    code, _, err = run("--replay-file", str(file))
    assert code == 1 and told in err
    assert not list(tmp_path.iterdir())


def test_a_replay_of_another_version_is_a_sentence(run, tmp_path_factory, tmp_path):
    file = tmp_path_factory.mktemp("replay") / "replay.json"
    kept = {name: answer for name, answer in context_of().items() if name != "__bucket"}
    file.write_text(json.dumps({"cookiecutter": kept}))
    code, _, told = run("--replay-file", str(file))
    assert code == 1 and "does not fit this version" in told and "NAME=VALUE" in told
    assert not list(tmp_path.iterdir())


def test_the_options_of_cookiecutter_and_their_errors_are_its_own(run):
    assert run("--help")[1].startswith("Usage: ")
    code, _, told = run("--no-such-option")
    assert code == 2 and "--no-such-option" in told
    code, _, told = run("--no-input", "no-equals-sign")
    assert code == 2 and "key=value" in told
    code, _, told = run("--no-input", "--replay")
    assert code == 1 and "replay" in told


def test_a_wrong_answer_prints_the_rules_and_no_traceback(tmp_path, settings_file):
    """In a process of its own, because pytest captures cookiecutter's log, which has the traceback."""
    command = [
        sys.executable,
        SCRIPT,
        "--config-file",
        settings_file,
        "--output-dir",
        tmp_path,
        "--no-input",
        "gke_zone=x",
    ]
    shell = os.environ | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, env=shell, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("1 answer cannot work; nothing was made.\n") and "Traceback" not in done.stderr


def test_without_a_terminal_the_missing_answers_are_named(run, tmp_path, settings_file):
    given = [f"{name}={answer}" for name, answer in context_of().items() if name in new.NAMES]
    missing, *rest = given
    command = [sys.executable, SCRIPT, "--config-file", settings_file, "--output-dir", tmp_path, *rest]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and not list(tmp_path.iterdir())
    assert "answers are missing: project_name. Nothing was made." in done.stderr and "--no-input" in done.stderr
    done = subprocess.run([*command, missing], stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 0 and (tmp_path / "digit-reader/Makefile").exists()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("gcr_personal_subdir: Yes", ["gcr_personal_subdir: true", 'quotes there, gcr_personal_subdir: "Yes"']),
        ("open_source_license: GPL", ["one of: MIT, BSD-3-Clause"]),
        ("description: true", ["description: true", "is not a text"]),
        ("repo_name: null", ["repo_name: null", "is not a text"]),
        ("project_name: 1.10", ["project_name: 1.1", "is not a text"]),
        ("[a]", ["is not a list of NAME: VALUE"]),
    ],
)
def test_a_default_that_yaml_retyped_is_refused_with_its_file(run, tmp_path, tmp_path_factory, answer, told):
    settings = tmp_path_factory.mktemp("rc") / "cookiecutterrc"
    settings.write_text(f"replay_dir: {settings.parent}\ndefault_context:\n  {answer}\n")
    code, _, err = run("--config-file", str(settings), "--no-input")
    assert code == 1 and all(part in err for part in [*told, "nothing was made", str(settings)])
    assert not list(tmp_path.iterdir())


def test_a_home_that_cannot_be_written_to_costs_only_the_replay(run, tmp_path, tmp_path_factory):
    settings = tmp_path_factory.mktemp("rc") / "cookiecutterrc"
    settings.write_text(f"replay_dir: {settings}/replay\n")  # below a file, where root cannot write either
    code, _, err = run("--config-file", str(settings), "--no-input")
    assert code == 0 and "are not kept" in err
    assert (tmp_path / "digit-reader/Makefile").exists()


def test_ctrl_c_while_the_files_are_written_leaves_nothing(tmp_path, settings_file):
    command = [sys.executable, SCRIPT, "--config-file", settings_file, "--output-dir", tmp_path, "--no-input"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as making:
        while not (tmp_path / "digit-reader/src").exists():
            assert making.poll() is None
        making.send_signal(signal.SIGINT)
        assert making.communicate(timeout=30)[1] == "\nStopped; nothing was made.\n"
    assert making.returncode == 130 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_installation_that_had_no_internet_is_tried_again(tmp_path):
    words = ["make", "new", f"VENV={tmp_path / 'venv'}", f"OUT={tmp_path}", "ARGS=--no-input"]
    offline = as_in_a_terminal() | {"PIP_NO_INDEX": "1"}
    for _ in range(2):
        done = subprocess.run(words, cwd=TEMPLATE, env=offline, capture_output=True, text=True, check=False)
        assert done.returncode and "No matching distribution found for pip==" in done.stderr, done.stderr


def test_where_to_is_what_is_typed_and_not_a_variable_of_the_shell():
    words, shell = ["make", "--dry-run", "new"], as_in_a_terminal() | {"OUT": "/of/the/shell", "ARGS": "--of-the-shell"}

    def printed(*typed):
        done = subprocess.run([*words, *typed], cwd=TEMPLATE, env=shell, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1].strip()

    assert printed().endswith("tools/new.py --output-dir '..'")
    assert printed("OUT=it's here", "ARGS=--plain").endswith(r"tools/new.py --output-dir 'it'\''s here' --plain")
