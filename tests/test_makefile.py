"""A team's verbs take what is typed behind them, and nothing that a shell has under the same name."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import as_in_a_terminal

VERBS = [
    "data",
    "train",
    "sweep",
    "best",
    "package",
    "serve",
    "predict",
    "batch",
    "drift",
    "ui",
    "guide",
    "images",
    "push",
    "deploy",
    "canary",
    "serve-model-image",
]


@pytest.fixture(scope="module")
def shown(bake, tmp_path_factory):
    """Gives what `make` would run in a repository whose environment is there."""
    repository = Path(shutil.copytree(bake(), tmp_path_factory.mktemp("verbs") / "repository"))
    python = repository / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()

    def run(*words, **variables):
        return subprocess.run(
            ["make", "--dry-run", *words], cwd=repository, env=as_in_a_terminal() | variables,
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip

    lines = (repository / "Makefile").read_text(encoding="utf-8").splitlines()
    run.taken = {name for line in lines if " ## " in line for name in re.findall(r"\b([A-Z]+)=", line)}
    return run


@pytest.mark.parametrize("flags", [[], ["--environment-overrides"]])
def test_a_shells_variables_decide_nothing(shown, flags):
    assert {"PORT", "RUN", "URL", "GROUP", "SOURCE", "IMAGES", "RESUME", "ARGS"} <= shown.taken
    assert shown(*flags, *VERBS, **dict.fromkeys(shown.taken, "of-the-shell")) == shown(*VERBS)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["data", "SOURCE=it's mine.csv"], r"""-P 'source=it'\''s mine.csv'"""),
        (["serve", "PORT=9000"], "--port '9000'"),
        (["package", "RUN=abc"], "--run 'abc'"),
        (["train", "RESUME=abc"], "train --resume 'abc'"),
        (["sweep", "GROUP=pipeline"], "runner 'pipeline'"),
        (["predict", "URL=http://host", "FILE=a.png"], "predict --url 'http://host'    -- 'a.png'"),
    ],
)
def test_what_is_typed_counts(shown, words, part):
    assert part in shown(*words, PORT="1", RUN="shell", URL="shell", GROUP="shell", RESUME="shell")


HOSTILE = """it's $HOME `touch a` $(touch b) $(shell touch c) (1); touch d & "x" | tee e"""


def test_nothing_that_is_typed_is_run_by_a_shell(bake, tmp_path):
    repository = Path(shutil.copytree(bake(), tmp_path / "repository"))
    python = repository / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    python.chmod(0o755)
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    taken = set(re.findall(r"^TAKEN := (.*)$", makefile, re.MULTILINE)[0].split()) - {"ARGS", "$(DATA)"}
    before = {path.name for path in repository.iterdir()}
    for verb in VERBS:
        words = [f"{name}={HOSTILE}" for name in sorted(taken | {"SOURCE", "TARGET"})]
        done = subprocess.run(
            ["make", "--silent", verb, *words], cwd=repository, env=as_in_a_terminal(),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert {path.name for path in repository.iterdir()} == before, verb
        if verb in ("predict", "batch", "data", "drift"):
            assert HOSTILE in done.stdout, "it is handed over as it was typed"
