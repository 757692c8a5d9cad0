"""A walk through the guide: every block titled laptop is typed in its order, in a repository of its own.

The pages on a team's own data and network have a walk for themselves: their blocks of Python are written into the files
in their titles, and their own `git diff --stat` says that nothing else has changed.
"""

import contextlib
import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import guide_pages
import pytest
from conftest import ROOT
from guide_pages import LAPTOP, OWN, SERVER, Block

pytestmark = pytest.mark.slow
MINUTES = 60
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
EXPECTED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture
def repository(tmp_path_factory) -> Path:
    """The baked repository as git has it, committed once, with the environments that `make setup` makes."""
    folder = tmp_path_factory.mktemp("walk") / ROOT.name
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")[:-1]  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            (folder / name).chmod((ROOT / name).stat().st_mode)
    serving = ROOT / os.environ.get("SERVING_VENV", ".venv-serving")
    (folder / ".venv").symlink_to(Path(sys.prefix).absolute())
    (folder / ".venv-serving").symlink_to(serving.absolute())
    git(folder, "init")
    git(folder, "config", "user.name", "A reader")
    git(folder, "config", "user.email", "reader@example.com")
    commit(folder, "Start from the template")
    return folder


def git(repository: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True)


def commit(repository: Path, message: str) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", f"--message={message}")


def as_in_a_terminal() -> dict[str, str]:
    """The environment without what the make above these tests hands on: its flags and this repository's variables."""
    ours = ("ARGS", "VENV", "SERVING_VENV", "UPGRADE_VENV", "PYTHONPATH", "PORT", "URL")
    around = ("MAKE", "MFLAGS", "POLYAXON_", "MLOPS_")
    return {name: value for name, value in os.environ.items() if name not in ours and not name.startswith(around)}


def typed(block: Block, repository: Path, **options) -> subprocess.Popen:
    """A block, typed into bash at the root of the repository, in a process group of its own."""
    return subprocess.Popen(
        ["bash", "-eu", "-c", block.text],
        cwd=repository, env=as_in_a_terminal(), stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        start_new_session=True, text=True, **options,
    )  # fmt: skip


def is_as_shown(block: Block, printed: str) -> bool:
    """Whether what is shown below the block is what it printed; ... stands for anything."""
    if block.output is None:
        return True
    expected = block.output.replace("....", "...")  # 0.... is a number, and doctest would ask for a second point
    printed = re.sub(r"^Loading .*\n", "", printed, flags=re.MULTILINE)  # progress, on its own line
    return doctest.OutputChecker().check_output(expected, printed, EXPECTED)


def check_output(block: Block, printed: str) -> None:
    assert "Traceback" not in printed, f"{block}\n{printed}"
    if not is_as_shown(block, printed):
        pytest.fail(f"{block}\n--- the guide says\n{block.output}--- it printed\n{printed}")


def end(process: subprocess.Popen, number: int = signal.SIGKILL) -> None:
    """Send the process group a signal, as the terminal does with Ctrl-C, and wait."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait(timeout=MINUTES)


def run(block: Block, repository: Path) -> None:
    process = typed(block, repository, stdout=subprocess.PIPE)
    try:
        printed, _ = process.communicate(timeout=10 * MINUTES)
    finally:
        end(process)
    assert process.returncode == 0, f"{block}\n{printed}"
    check_output(block, printed)


@contextlib.contextmanager
def server(block: Block, repository: Path):
    """A server that the reader starts in another terminal: from when it answers and has said so, until Ctrl-C."""
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as log:
        process = typed(block, repository, stdout=log)
        try:
            limit = time.monotonic() + 3 * MINUTES
            while True:
                answers = answering(printed := Path(log.name).read_text(encoding="utf-8"))
                if answers and is_as_shown(block, printed):
                    break
                if process.poll() is not None or time.monotonic() > limit:
                    pytest.fail(f"{block}\n--- it did not come up as the guide says\n{printed}")
                time.sleep(0.2)
            yield
            assert process.poll() is None, f"{block}: it ended by itself"
            end(process, signal.SIGINT)
            check_ended(block, Path(log.name).read_text(encoding="utf-8"), answers)
        finally:
            end(process)


def answering(printed: str) -> int | None:
    """The port of the address that a server has printed, when something listens on it."""
    for port in ADDRESS.findall(printed):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                return int(port)
    return None


def check_ended(block: Block, printed: str, port: int) -> None:
    assert "Traceback" not in printed, f"{block}\n{printed}"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, f"{block}: Ctrl-C has not ended it"


def test_the_walk(site, repository):
    blocks = [block for block in guide_pages.blocks(site) if block.title in (LAPTOP, SERVER)]
    assert {block.title for block in blocks} == {LAPTOP, SERVER}
    for name in guide_pages.names():
        if name in OWN:
            continue
        with contextlib.ExitStack() as servers:
            for block in (block for block in blocks if block.page == name):
                began = time.monotonic()
                if block.title == SERVER:
                    servers.enter_context(server(block, repository))
                else:
                    run(block, repository)
                print(f"{time.monotonic() - began:6.1f} s  {block}")


def write(block: Block, repository: Path) -> None:
    """Write the code of a block into its file, and check it as a commit is checked."""
    path = repository / block.file
    path.write_text(block.text, encoding="utf-8")
    for tool in (["check"], ["format", "--check"]):
        subprocess.run([Path(sys.executable).with_name("ruff"), *tool, path], cwd=repository, check=True)


def test_the_walk_through_your_own_data_and_network(site, repository):
    blocks = [block for block in guide_pages.blocks(site) if block.page in OWN]
    assert [Path(block.file).name for block in blocks if block.file] == ["data.py", "model.py"]
    subprocess.run(["make", "data"], cwd=repository, env=as_in_a_terminal(), check=True, capture_output=True)
    commit(repository, "The example")
    for block in blocks:
        if block.file:
            write(block, repository)
        elif block.title == LAPTOP:
            run(block, repository)
