"""Ctrl-C at a terminal ends a verb with one line, leaves no process running, and the verb works the next time.

The key is pressed when a module was imported, of which Python tells, or when words are shown: no time decides. CI stops
the verbs that are short; EXHAUSTIVE in the environment stops all of them.
"""

import os
import re
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

import pexpect
import pytest
from conftest import as_in_a_terminal

pytestmark = pytest.mark.slow
PATIENCE = 300
SHORT = {
    "best": ["mlops", "click", "numpy"],
    "train RESUME=none": ["torch.types"],
    "serve": ["click", "Serving build/bundle"],
}
LONG = {
    "pipeline": ["mlops", "click", "scipy._lib", "torch.types", "epoch 1", "best  "],
    "data": ["click", "polyaxon._schemas", "Loading Polyaxon"],
    "train": ["polyaxon._schemas", "Loading PyTorch", "epoch 1"],
    "sweep": ["polyaxon._schemas", "succeeded "],
    "package": ["torch.types", "onnxruntime"],
    "predict": ["requests"],
    "batch FILE=tests/images OUT=answers.csv": ["numpy"],
    "drift URL=http://127.0.0.1:9/metrics": ["mlops"],
    "check": ["mlops", "numpy"],
    "deploy ARGS=--dry-run": ["mlops", "click"],
    "ui": ["click", "Ctrl-C ends it"],
}
MOMENTS = SHORT | (LONG if "EXHAUSTIVE" in os.environ else {})
ENDLESS = ("serve", "ui")  # until Ctrl-C
NEED_MORE = ("train RESUME=none", "predict", "drift", "deploy")  # a run, a server, an image
FRESH = ("pipeline",)  # with nothing changed it does nothing


@pytest.fixture(scope="module")
def environments() -> list[str]:
    names = {"VENV": os.environ.get("TEAM_VENV"), "SERVING_VENV": os.environ.get("TEAM_SERVING_VENV")}
    if not all(names.values()):
        pytest.skip("NOT CHECKED: TEAM_VENV and TEAM_SERVING_VENV name no environments made by `make setup`")
    return [f"{name}={value}" for name, value in names.items()]


@pytest.fixture(scope="module")
def repository(bake, environments, tmp_path_factory) -> Path:
    """A repository whose pipeline has run."""
    folder = Path(shutil.copytree(bake(), tmp_path_factory.mktemp("stopped") / "repository"))
    make(folder, "pipeline", environments)
    return folder


def make(folder: Path, verb: str, environments: list[str]) -> None:
    command = ["make", *verb.split(), *environments]
    done = subprocess.run(
        command, cwd=folder, env=as_in_a_terminal(), capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def running(mark: str) -> list[str]:
    """The processes that were started with this in their environment and have not ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or is another person's
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="NOT CHECKED: /proc tells what still runs")
@pytest.mark.parametrize(("verb", "moments"), MOMENTS.items(), ids=MOMENTS)
def test_ctrl_c_ends_a_verb_with_one_line_and_all_that_it_started(repository, environments, verb, moments):
    for moment in moments:
        if verb in FRESH:
            for name in ("build", "data", "outputs"):
                shutil.rmtree(repository / name, ignore_errors=True)
        mark = uuid.uuid4().hex
        told = {"PYTHONPROFILEIMPORTTIME": "1", "MARK": mark}
        child = pexpect.spawn(
            "make", [*verb.split(), *environments], cwd=repository, env=as_in_a_terminal() | told, encoding="utf-8",
            timeout=PATIENCE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        child.expect_exact(moment) if " " in moment else child.expect(rf"\| +{re.escape(moment)}\r")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert child.signalstatus == signal.SIGINT, f"{verb} at {moment}: {child.before}"
        lines = [line for line in child.before.replace("^C", "").splitlines() if "import time:" not in line]
        own = [line for line in lines if line.startswith("Stopped")]
        assert own and "Traceback" not in child.before and "Aborted!" not in child.before, f"at {moment}: {lines}"
        assert not running(mark), f"at {moment}"
    if verb not in ENDLESS and not verb.startswith(NEED_MORE):
        make(repository, verb, environments)
