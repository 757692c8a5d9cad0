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
    "compare",
    "package",
    "serve",
    "try",
    "predict",
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
        (["compare", "RUNS=abc def"], "--run 'abc' --run 'def'"),
        (["train", "RESUME=abc"], "train --resume 'abc'"),
        (["sweep", "GROUP=pipeline"], "runner pipeline"),
        (["predict", "URL=http://host", "IMAGES=a.png"], "--url 'http://host'   a.png"),
    ],
)
def test_what_is_typed_counts(shown, words, part):
    assert part in shown(*words, PORT="1", RUN="shell", URL="shell", GROUP="shell", RESUME="shell")
