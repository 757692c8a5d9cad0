"""What the tests share: one folder in which data is prepared, a model trained and its bundle made, once each."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import browser as real_browser
import click
import pytest

from {{ cookiecutter.src_package_name }} import local_server, runs
from {{ cookiecutter.src_package_name }}.bundle_files import BUNDLE
from {{ cookiecutter.src_package_name }}.errors import UserError

ROOT = Path(__file__).parent.parent
# What is started would ignore them too: SIGINT in a shell's background job, SIGHUP under nohup.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Path:
    """A folder that stands for the repository's root, so that the tests' data and runs stay apart from yours."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("serving-requirements.txt", "serving.env", "tests"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def in_workplace(workplace, monkeypatch) -> Path:
    """The test runs in the workplace, with nothing of a Polyaxon environment around it."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv(runs.ROOT_VARIABLE, "outputs")
    return workplace


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a stage's process: this repository's source, and nothing of a Polyaxon around it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POLYAXON_")}
    return kept | {
        "PYTHONPATH": str(ROOT / "src"),
        "SERVING_VENV": str(ROOT / os.environ.get("SERVING_VENV", ".venv-serving")),
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
    """What starts a stage, as the Makefile does it."""
    return [sys.executable, "-m", f"{runs.__package__}.cli"]


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
    return workplace / "data/processed/digits.safetensors"


@pytest.fixture
def apart(workplace, data_file, tmp_path, monkeypatch) -> Path:
    """The test runs in a folder with the digits and no run: what it trains is not the best run of another test."""
    (tmp_path / "data").symlink_to(workplace / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(runs.ROOT_VARIABLE, "outputs")
    return tmp_path


@pytest.fixture(scope="session")
def trained(workplace, stage, data_file) -> str:
    """The uuid of a run of the default recipe."""
    stage("train", "--name", "shared")
    return stage("best", "--id").stdout.strip()


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
    command = [sys.executable, ROOT / "aisg-context/guide-site/guide.py", "build", "--output", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def browser():
    """A real browser without a window."""
    try:
        with real_browser.browser() as page:
            yield page
    except click.ClickException as error:
        pytest.fail(error.message) if os.environ.get("CI") else pytest.skip(error.message)
