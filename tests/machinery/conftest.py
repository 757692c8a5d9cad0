"""Shared by the tests of the machinery: a baked repository, and a folder in which each of its stages was run once.

They run in the working environment that `make setup` makes, with PYTHONPATH at the repository's source:
TEAM_REPOSITORY is a repository that was baked with the default answers, SERVING_VENV its serving environment.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import browser as real_browser
import pytest
from click.testing import CliRunner
from digit_reader.__main__ import TEAM
from mlops import cli, local_server, runs
from mlops import dataset as datasets
from mlops.errors import UserError
from mlops.serving.bundle_files import BUNDLE
from sources_of_people import people, write_idx

ROOT = Path(os.environ["TEAM_REPOSITORY"]).absolute()
PACKAGE = "digit_reader"  # of the default answers
# What is started would ignore them too: SIGINT in a shell's background job, SIGHUP under nohup.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Path:
    """A folder that stands for the repository's root, so that the tests' data and runs stay apart from yours."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("serving-requirements.txt", "serving.env", "pyproject.toml", "tests"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="session")
def team():
    """Return what the baked repository's package hands to mlops."""
    return TEAM


@pytest.fixture
def in_workplace(workplace, monkeypatch) -> Path:
    """The test runs in the workplace, with nothing of a Polyaxon environment around it."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("MLOPS_OUTPUTS", "outputs")
    return workplace


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a stage's process: this repository's source, and nothing of a Polyaxon around it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POLYAXON_", "MLOPS_"))}
    return kept | {
        "PYTHONPATH": str(ROOT / "src"),
        "SERVING_VENV": str(Path(os.environ.get("SERVING_VENV", ROOT / ".venv-serving")).absolute()),
    }


@pytest.fixture
def start():
    """Start a process, as Popen does. What still runs when the test is over is ended, with what it started."""
    with contextlib.ExitStack() as ends:

        def run(command: list, **options) -> subprocess.Popen:
            process = subprocess.Popen(command, text=True, **options)
            ends.callback(end, process)
            return process

        yield run


def end(process: subprocess.Popen) -> None:
    """Let a process of this repository end itself and its own."""
    process.terminate()
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def command() -> list[str]:
    """Return the words that start a stage, as in the Makefile."""
    return [sys.executable, "-m", PACKAGE]


@pytest.fixture(scope="session")
def stage(workplace, environment, command):
    """Run a stage as its user does: `stage("train", "--epochs", "2")` gives the finished process."""

    def run(*arguments: str, cwd: Path = workplace, fails: bool = False) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def data_file(workplace, stage) -> Path:
    """The 5,000 digits, prepared."""
    stage("prepare")
    return workplace / "data/processed/dataset.safetensors"


@pytest.fixture(scope="session")
def dataset(data_file) -> datasets.Dataset:
    """The 5,000 digits, loaded."""
    return datasets.load(data_file)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch) -> Path:
    """The test runs in a folder where nothing was prepared, so there is no schema yet."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def idx_folder(tmp_path, dataset) -> Path:
    """MNIST's four files, with 600 and 100 real digits in them, one of the files compressed."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    train, test = dataset.splits["train"], dataset.splits["test"]
    write_idx(folder / "train-images-idx3-ubyte", train.inputs[:600, ..., 0])
    write_idx(folder / "train-labels-idx1-ubyte.gz", train.targets[:600])
    write_idx(folder / "t10k-images-idx3-ubyte", test.inputs[:100, ..., 0])
    write_idx(folder / "t10k-labels-idx1-ubyte", test.targets[:100])
    return folder


@pytest.fixture
def file(tmp_path):
    """Write a table as CSV, in the dialect that is given: sixty people, another frame, or bytes."""

    def write(frame=None, name="people.csv", **how) -> Path:
        path = tmp_path / name
        if isinstance(frame, bytes):
            path.write_bytes(frame)
        else:
            (people() if frame is None else frame).to_csv(path, index=False, **how)
        return path

    return write


@pytest.fixture
def apart(workplace, data_file, tmp_path, monkeypatch) -> Path:
    """The test runs in a folder with the digits and no run: what it trains is not the best run of another test."""
    (tmp_path / "data").symlink_to(workplace / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPS_OUTPUTS", "outputs")
    return tmp_path


@pytest.fixture(scope="session")
def trained(workplace, stage, data_file) -> str:
    """The uuid of a run of the default recipe."""
    stage("train", "--name", "shared")
    return stage("best", "--id").stdout.strip()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of runs."""
    monkeypatch.setenv("MLOPS_OUTPUTS", str(tmp_path))
    return tmp_path / "runs"


@pytest.fixture
def two_runs(in_workplace, stage, trained, data_file, team):
    """The shared run, and one that had ten steps only; and the data and code of now."""
    names = {run.name: run.uuid for run in runs.recorded()}
    if "ten-steps" not in names:
        stage("train", "--train-steps", "10", "--name", "ten-steps")
    short = {run.name: run.uuid for run in runs.recorded()}["ten-steps"]
    return trained, short, team.lineage(datasets.read_origin(data_file))


@pytest.fixture(scope="session")
def bundle(workplace, stage, trained) -> Path:
    """The bundle of that run."""
    stage("package", "--run", trained)
    return workplace / BUNDLE


@pytest.fixture(scope="session")
def serving_python() -> Path:
    """The Python of the serving environment."""
    try:
        return local_server.serving_python()
    except UserError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The guide, built strictly: a link, an anchor or a picture that leads nowhere fails here."""
    folder = tmp_path_factory.mktemp("guide")
    programs = Path(sys.executable).parent  # d2 among them, which draws the diagrams
    kept = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "NO_MKDOCS_2_WARNING": "true"}
    flags = ["--strict", f"--config-file={ROOT / 'aisg-context/guide-site/mkdocs.yml'}", f"--site-dir={folder}"]
    command = [sys.executable, "-m", "mkdocs", "build", *flags]
    done = subprocess.run(command, env=os.environ | kept, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def platform_files(tmp_path) -> Path:
    """A copy of the platform's files, to be spoilt."""
    for name in ("aisg-context", "docker", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [ROOT / "pyproject.toml", *ROOT.glob("*-conda-env.yml")]:
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def edit(platform_files):
    """Write something else into one of these files."""

    def run(name: str, before: str, after: str) -> None:
        text = (platform_files / name).read_text(encoding="utf-8")
        assert before in text, "the edit no longer fits the file"
        (platform_files / name).write_text(text.replace(before, after, 1), encoding="utf-8")

    return run


@pytest.fixture
def check(team, platform_files):
    """Check these files in this process, which loads Polyaxon only once."""
    return lambda *names: CliRunner().invoke(cli.stages(team), ["check", "--root", str(platform_files), *names])


@pytest.fixture
def find_mistake(edit, check):
    """Make a mistake in a file, and see that a check fails and that one of its findings says all that is told."""

    def run(name: str, right: str, wrong: str, category: str, told: list[str]) -> None:
        edit(name, right, wrong)
        answer = check(category)
        assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.output
        findings = [line for line in answer.output.splitlines() if line.startswith("  ")]
        assert any(all(word in line for word in told) for line in findings), answer.output

    return run


@pytest.fixture(scope="module")
def browser():
    """A real browser without a window."""
    try:
        with real_browser.browser() as page:
            yield page
    except real_browser.NoBrowser as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
