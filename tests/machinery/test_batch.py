"""A batch that is stopped goes on: whatever kills it, its output is that of one that was not."""

import csv
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PACKAGE
from mlops import local_server
from PIL import Image

KILL = Path(__file__).parents[1] / "kill_at.py"
PICTURES = 1060  # more than one request holds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, of which one is none."""
    made = tmp_path_factory.mktemp("batch") / "my pictures"
    made.mkdir()
    for number in range(PICTURES):
        image = Image.new("L", (28, 28))
        image.paste(255, (8, 4, 9 + number % 12, 24))
        image.save(made / f"{number:04} (1).png")
    (made / "0007 (1).png").write_bytes(b"")
    return made


@pytest.fixture(scope="module")
def url(bundle, serving_python, environment, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_VENV", environment["SERVING_VENV"])
        log = tmp_path_factory.mktemp("log") / "serving.log"
        with log.open("wb") as file, local_server.server(bundle, log=file.fileno(), publish=False) as (address, _):
            yield address


@pytest.fixture(scope="module")
def answer(workplace, environment, url, folder):
    """Answer the pictures; killed at a write, where one is given. Gives the exit code and what was said."""

    def run(out, source=folder, address=url, kill_at=0):
        words = ["batch", "--url", address, "--out", out, source]
        program = [KILL, str(kill_at), out.with_suffix(".writes"), "-m"] if kill_at >= 0 else ["-m"]
        command = [sys.executable, *program, PACKAGE, *words]
        return subprocess.run(
            command, cwd=workplace, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture(scope="module")
def whole(answer, tmp_path_factory):
    """The output of a batch that was not stopped, and its writes, a line each."""
    out = tmp_path_factory.mktemp("whole") / "answers.csv"
    done = answer(out)
    assert done.returncode == 0, done.stderr
    assert not out.with_name("answers.csv.partial").exists()
    return out, out.with_suffix(".writes").read_text(encoding="utf-8").splitlines()


def test_each_picture_has_one_row(whole, folder):
    with whole[0].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == sorted(path.name for path in folder.iterdir())
    assert [row["picture"] for row in rows if row["error"]] == ["0007 (1).png"]
    assert all(row["answer"] and 0 < float(row["probability"]) <= 1 for row in rows if not row["error"])


@pytest.mark.parametrize("seed", range(4))
def test_killed_anywhere_it_goes_on_to_the_same_output(answer, whole, tmp_path, seed):
    """A few places at random, out of all of its writes; killed twice before it may finish."""
    chance, out = random.Random(seed), tmp_path / "answers.csv"
    assert answer(out, kill_at=chance.randint(1, len(whole[1]))).returncode == -9
    answer(out, kill_at=chance.randint(1, len(whole[1])))
    if not out.exists():
        done = answer(out)
        assert done.returncode == 0, done.stderr
    assert out.read_bytes() == whole[0].read_bytes()


def test_what_was_begun_is_not_gone_on_with_for_another_input_or_another_model(answer, whole, folder, tmp_path):
    out, partial = tmp_path / "answers.csv", tmp_path / "answers.csv.partial"
    shutil.copytree(folder, other := tmp_path / "other")
    (other / "0001 (1).png").unlink()
    saved = next(at for at, write in enumerate(whole[1], 1) if "os.rename" in write and "state.json" in write)
    assert answer(out, kill_at=saved + 1).returncode == -9, "killed when its first part was saved"
    done = answer(out, source=other)
    assert done.returncode == 1 and "answers to another FILE" in done.stderr and f"rm -r {partial}" in done.stderr
    state = json.loads((partial / "state.json").read_text(encoding="utf-8"))
    (partial / "state.json").write_text(json.dumps(state | {"run": "of yesterday"}), encoding="utf-8")
    done = answer(out)
    assert done.returncode == 1 and "answered by run of yesterday" in done.stderr and f"rm -r {partial}" in done.stderr
    (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
    assert "No server answers" in answer(out, address="http://127.0.0.1:9").stderr
    assert answer(out).returncode == 0 and out.read_bytes() == whole[0].read_bytes()
    assert "is there already" in answer(out).stderr


def test_what_cannot_begin_leaves_nothing(answer, tmp_path):
    for source in (tmp_path / "nowhere", tmp_path):
        done = answer(tmp_path / "out/answers.csv", source=source, kill_at=-1)
        assert done.returncode == 1 and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*"))
