"""`make new` asks well: a person at a real terminal is corrected at once, can go back, and loses no answer."""

import json
import os
import re
import subprocess
import sys
import time

import answers
import first_steps
import interview
import pexpect
import pyte
import pytest
from conftest import TEMPLATE
from releases import slow

GIT = {"GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_GLOBAL": "/dev/null"}
NAMED = {f"GIT_{who}_{what}": "ann@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
COLOR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:[34][0-8]|9[0-7]|10[0-7])[;m]")  # 39 and 49 are the terminal's own


@pytest.fixture
def settings_file(tmp_path_factory):
    """A configuration of cookiecutter of this test's own: unfinished answers are kept beside replays."""
    file = tmp_path_factory.mktemp("cookiecutter") / "config.yaml"
    file.write_text(f"replay_dir: {file.parent}\n")
    return file


class Person:
    """Types at a pseudo-terminal, and reads the screen that a terminal emulator draws of it."""

    def __init__(self, output, settings_file, *arguments, columns=80, **environment):
        program = [str(TEMPLATE / "tools/new.py"), "--config-file", str(settings_file), "--output-dir", str(output)]
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        kept |= {"TERM": "xterm-256color", **GIT, **NAMED, **environment}
        size = (50, columns)
        self.child = pexpect.spawn(
            sys.executable, program + list(arguments), env=kept, encoding="utf-8", dimensions=size
        )
        self.raw = ""
        self.screen = pyte.HistoryScreen(columns, 50, history=1000)
        self.screen.write_process_input = self.child.send  # a terminal says where its cursor is
        self.terminal = pyte.Stream(self.screen)

    def shown(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self):
        try:
            text = self.child.read_nonblocking(10_000, timeout=1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += text
        self.terminal.feed(text)
        return True

    def asked(self):
        """Return the screen since the last question, as one line."""
        text = " ".join(self.shown().split())
        return text[max((found.start() for found in re.finditer(r"\d+ of 14\.", text)), default=0) :]

    def see(self, *parts):
        """Wait until each part is on the screen below the last question, however it is wrapped."""
        end = time.monotonic() + 30
        while not all(part in self.asked() for part in parts):
            assert time.monotonic() < end and self.read(), f"{parts} not in:\n{self.shown().strip()}"

    def type(self, text):
        self.child.send(text)

    def answer(self, question, text="", *told):
        """Wait for a question, and for what is told beside it; type a line."""
        self.see(f"{question} of 14.", *told)
        self.type(f"{text}\r")

    def leaves(self):
        end = time.monotonic() + 30
        while self.read():
            assert time.monotonic() < end, self.shown()
        self.child.close()
        return self.child.exitstatus


CHOICES = (6, 9, 10, 13, 14)
WRONG = {  # the number of a question: a wrong answer, and what is said of it
    1: ("/dev/null/churn", "is not a folder: /dev/null rule: a folder that you may write to"),
    4: ("Customer Churn", "rule: lower-case words of letters and digits", "try: customer-churn"),
    5: ("json", "is a module of Python's standard library", "try: json_model"),
    8: ("Churn_2026", "try: churn-2026"),
    12: ("europe-west1", "is not written like a zone", "try: europe-west1-b"),
}


def record(repository):
    return json.loads((repository / ".template-answers.json").read_text(encoding="utf-8"))["answers"]


def answer_all(person, folder, columns):
    """Give wrong answers to five of the questions first, and change the answer to an earlier one."""
    right = {2: "Customer {{ Churn }}", 4: "churn-model", 7: "Jane Doe", 8: "churn-2026", 12: "europe-west1-b"}
    for number in range(1, 15):
        person.see(f"{number} of 14.", "> 1." if number in CHOICES else "ok")
        if number in WRONG:
            wrong, *told = WRONG[number]
            person.type(wrong)
            person.see("wrong: it", *told)  # before Enter
            person.type("\r")
            person.see("This cannot work", f"> {wrong}")  # asked again, and there to be edited
            person.type("\x15")  # Ctrl-U
        if number == 4:
            person.type("churn")
            person.see(f"exists already in {folder}" if columns == 80 else "exists already in")
            person.type("\x15")
        person.type("\x1b[B\r" if number in (6, 9) else f"{right.get(number, '')}\r")
        if number == 9:  # the images of Jane Doe cannot have a folder of that name
            person.see("7 of 14. Who owns it", "> Jane Doe", "gcr_personal_subdir is Yes", "try: jane-doe")
            person.type("\x1b[Z")  # Shift-Tab
            person.answer(9, "", "> 2. Yes")
            person.see("7 of 14.", "try: jane-doe")
            person.type("\x15jane-doe\r")


@pytest.mark.parametrize(("columns", "color"), [(80, True), *slow((40, False))])
def test_five_wrong_answers_and_a_changed_mind_at_a_terminal(tmp_path, settings_file, columns, color):
    (tmp_path / "churn").mkdir()
    person = Person(tmp_path, settings_file, columns=columns, **({} if color else {"NO_COLOR": "1"}))
    answer_all(person, tmp_path, columns)
    image = "eu.gcr.io/churn-2026/jane-doe/churn-model"
    person.see("Make it?", "> 1. Make it", "ml-cluster (a placeholder: change this before the cluster)")
    person.see(*([f"image prefix: {image}"] if columns == 80 else ["image prefix:"]))
    person.type("3\r")  # a changed mind: the title
    person.answer(2, "\x15Churn", "> Customer {{ Churn }}")
    person.see("> 1. Make it", "project_name: Churn")
    person.type("\r")
    person.see("Make a git repository of it?", "> 1. Yes: git init -b main, and a first commit")
    person.type("\r")
    person.see("Install what it needs now?", "> 2. No, later")
    person.type("\r")
    assert person.leaves() == 0
    assert bool(COLOR.search(person.raw)) is color
    made = tmp_path / "churn-model"
    expected = {"project_name": "Churn", "src_package_name": "churn_model", "author_name": "jane-doe"}
    assert record(made).items() >= (expected | {"example": "table", "gke_zone": "europe-west1-b"}).items()
    log = subprocess.run(["git", "log", "--format=%D %s"], cwd=made, capture_output=True, text=True, check=True)
    assert log.stdout == "HEAD -> main Start from the template\n"


@pytest.mark.slow
def test_the_same_in_lines_without_a_cursor_code(tmp_path, settings_file):
    person = Person(tmp_path, settings_file, "--plain")
    for number in range(1, 15):
        wrong, *told = WRONG.get(number, ("",))
        person.answer(number, wrong)
        if wrong:
            person.see("cannot work", *told)
            person.type("\r" if number != 4 else "churn-model\r")  # what was tried for it, in brackets
    person.see("Make it?")
    person.type("<\r")
    person.answer(14, "9")
    person.see('"9" is not one of the choices')
    person.type("BSD-3-Clause\r")
    person.see("15. open_source_license: BSD-3-Clause", "[1]")
    person.type("6\r")
    person.see("5 of 14. Name of the Python package", "[json_model]")
    person.type("churn\r")
    person.see("src_package_name: churn", "[1]")
    person.type("No\r")
    person.see("Type the number of the answer to change, or Ctrl-C to stop")
    person.type("Y\r")
    person.see("Make a git repository of it?")
    person.type("n\r")
    person.see("Install what it needs now?")
    person.type("\r")
    assert person.leaves() == 0
    assert "\x1b" not in person.raw
    made = record(tmp_path / "churn-model")
    assert (made["src_package_name"], made["open_source_license"]) == ("churn", "BSD-3-Clause")
    assert made["gcp_project_id"] == "churn-2026" and not (tmp_path / "churn-model/.git").exists()


def test_ctrl_c_keeps_the_answers_for_the_next_try(tmp_path, settings_file):
    person = Person(tmp_path, settings_file)
    person.answer(1, "", "ok")
    person.answer(2, "Kept {{ 7 * 7 }}", "ok")
    person.answer(3, "\x03", "ok")
    assert person.leaves() == 130 and "Stopped; nothing was made. The next try can go on" in person.shown()
    assert not list(tmp_path.iterdir())
    again = Person(tmp_path, settings_file, "--plain")
    again.see("Go on with the answers of your last try?")
    again.type("\r")
    again.answer(3, "<")
    again.answer(2, "", "[Kept {{ 7 * 7 }}]")
    again.answer(3)
    again.answer(4, "\x04", "[kept-7-7]")  # Ctrl-D
    assert again.leaves() == 130


# --- after the repository is made -------------------------------------------------------------------------------------


def steps(folder, replies, monkeypatch, capfd, **environment):
    """Answer the offers with these lines, in a home of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("content\n")
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    for name, value in (GIT | {"HOME": str(folder.parent)} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("builtins.input", lambda prompt: replies.pop(0))
    code = first_steps.first_steps(folder, interview.Lines())
    return code, capfd.readouterr()


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False).stdout


def test_without_a_name_git_begins_and_the_commit_is_left_to_be_typed(tmp_path, monkeypatch, capfd):
    code, told = steps(tmp_path / "new", ["", "2"], monkeypatch, capfd)
    assert code == 0 and "git does not know your name" in told.out
    assert "  git add --all && git commit --message 'Start from the template'\n  make setup pipeline\n" in told.out
    assert git(tmp_path / "new", "symbolic-ref", "HEAD") == "refs/heads/main\n"


@pytest.mark.parametrize("setting", ["commit.gpgsign", "core.hooksPath"])
def test_a_commit_that_a_persons_own_settings_refuse_is_told_with_the_reason(tmp_path, monkeypatch, capfd, setting):
    (tmp_path / "pre-commit").write_text("#!/bin/sh\necho no ticket >&2\nexit 1\n")
    (tmp_path / "pre-commit").chmod(0o755)
    value = {"commit.gpgsign": "true\n[gpg]\nprogram = /no/such/gpg", "core.hooksPath": str(tmp_path)}[setting]
    (tmp_path / "config").write_text("[{}]\n{} = {}\n".format(*setting.split("."), value))
    code, told = steps(tmp_path / "new", ["", "2"], monkeypatch, capfd, GIT_CONFIG_GLOBAL=f"{tmp_path}/config", **NAMED)
    assert code == 0 and "git made no first commit, for the reason above" in told.out
    assert ("no ticket" if setting == "core.hooksPath" else "/no/such/gpg") in told.err
    assert "  git add --all && git commit --message 'Start from the template'\n" in told.out


def test_inside_another_repository_the_safe_answer_is_no(tmp_path, monkeypatch, capfd):
    git(tmp_path, "init", "-q")
    code, told = steps(tmp_path / "new", ["", ""], monkeypatch, capfd, GIT_DIR=f"{tmp_path}/.git")
    assert code == 0 and f"inside another git repository, {tmp_path}" in " ".join(told.out.split())
    assert not (tmp_path / "new/.git").exists() and "git init" not in told.out.split("Next:")[1]


def test_setup_is_run_without_the_options_of_the_make_above(tmp_path, monkeypatch, capfd):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/Makefile").write_text("VENV ?= .venv\nsetup:\n\t@echo setup in $(VENV)\n\t@test ! -e fail\n")
    options = {"MAKEFLAGS": " -- VENV=/elsewhere", "VENV": "/elsewhere"}
    code, told = steps(tmp_path / "new", ["2", "1"], monkeypatch, capfd, **options)
    assert code == 0 and "setup in .venv" in told.out and told.out.endswith("\n  make pipeline\n")
    (tmp_path / "new/fail").touch()
    code, told = steps(tmp_path / "new", ["2", "1"], monkeypatch, capfd, **options)
    assert code == 1 and "make setup failed" in told.out and told.out.endswith("\n  make setup pipeline\n")


def test_every_example_is_an_answer_that_works(tmp_path):
    asked = answers.Answers({}, str(tmp_path))
    examples = answers.QUESTIONS["_examples"]
    assert set(examples) == set(answers.NAMES) - set(answers.rules.CHOICES)
    assert not asked.problems(**{name: text for name, text in examples.items() if name != answers.WHERE})
    assert set(answers.QUESTIONS["_placeholders"]) < set(examples)
