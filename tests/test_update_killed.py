"""`make upgrade`, killed while it works: it is made again or undone by one command, and never wrong.

With the team of the year's releases that has conflicts, from the first release to the last. Of the points at which it
is killed a few, evenly spread; all of them with EXHAUSTIVE in the environment.
"""

import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TEMPLATE
from releases import (
    EXHAUSTIVE,
    ROOT,
    UPGRADE,
    Releases,
    Small,
    call,
    commit,
    contents,
    create,
    environment,
    git,
    on_path,
    sampled,
    slow,
    status,
    upgrade,
)
from releases import upgrade_by_the_templates as upgrade_small
from test_update_year import faults, note, start
from year import Files, upgraded

KILL_AT = Path(__file__).with_name("kill_at.py")
UNDO = "git add --update . && git restore --source=HEAD --staged --worktree ."


@pytest.fixture(scope="session")
def begun(year, tmp_path_factory) -> tuple[Path, Files]:
    return start(year, tmp_path_factory.mktemp("begun") / "made", "conflicts", 0)


def killed(team: Path, number: int, counted: Path, source: Path = TEMPLATE / ROOT / "src") -> int:
    """Run an upgrade that is killed at a write; return its exit code."""
    command = (sys.executable, "-P", KILL_AT, number, counted, "-m", "mlops.upgrade")
    return call(team, *command, code=None, **on_path(source), TMPDIR=str(counted.parent)).returncode


# git, that runs a filter before each file that it writes; the filter kills all of them before file number {number}.
GIT = """#!/bin/sh
case $* in *read-tree*) set -- -c core.attributesFile={folder}/all -c filter.kill.smudge={folder}/kill "$@" ;; esac
exec {git} "$@"
"""
KILL = """#!/bin/sh
echo >>{folder}/written
[ "$(wc -l <{folder}/written)" -lt {number} ] || kill -KILL 0
exec cat
"""


def killed_in_git(team: Path, number: int, folder: Path) -> bool:
    """Run an upgrade that is killed, with git, before git writes a file; return whether there were so many."""
    folder.mkdir()
    (folder / "all").write_text("* filter=kill\n")
    for name, text in (("git", GIT), ("kill", KILL)):
        (folder / name).write_text(text.format(folder=folder, number=number, git=shutil.which("git")))
        (folder / name).chmod(0o755)
    env = environment(**on_path(TEMPLATE / ROOT / "src"), PATH=f"{folder}:{os.environ['PATH']}", TMPDIR=str(folder))
    process = subprocess.Popen(UPGRADE, cwd=team, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    code = process.wait(timeout=300)
    shutil.rmtree(folder)
    return code == -signal.SIGKILL


def hold(team: Path, begun: tuple[Path, Files], before: dict[str, bytes], copy: Path) -> list[str]:
    """What must hold wherever it was killed: nothing is recorded too early, it is undone, and it is made again."""
    expected = upgraded(begun[1], 0, 11)
    wrong = []
    record = team / ".template-answers.json"
    if record.exists() and b"1.11.0" in record.read_bytes():
        wrong += [f"recorded, and {fault}" for fault in faults(team, "conflicts", 11, expected, begun[1], 4)]
    shutil.copytree(team, copy, symlinks=True)
    call(copy, "sh", "-c", UNDO)
    if contents(copy) != before or status(copy):
        wrong.append(f"not undone: {status(copy)}")
    done = upgrade_small(team, code=None)
    wrong += [f"made again, {fault}" for fault in faults(team, "conflicts", 11, expected, begun[1], done.returncode)]
    again = upgrade_small(copy, code=None)
    wrong += [
        f"after undoing, {fault}" for fault in faults(copy, "conflicts", 11, expected, begun[1], again.returncode)
    ]
    shutil.rmtree(copy)
    return wrong


def writes(team: Path, tmp_path: Path, *source: Path) -> tuple[int, int]:
    """Return the numbers of the first write into the repository, and of the last: both change its index."""
    team = Path(shutil.copytree(team, tmp_path / "counted"))
    killed(team, 10**6, tmp_path / "count", *source)
    lines = (tmp_path / "count").read_text().splitlines()
    shutil.rmtree(team)
    renames = [number for number, line in enumerate(lines, 1) if "os.rename" in line and "index.upgrade" in line]
    return renames[0], renames[-1]


def test_killed_at_a_write(begun, tmp_path):
    """In the middle of the writing; all the other points are below."""
    team = Path(shutil.copytree(begun[0], tmp_path / "team"))
    before = contents(team)
    assert killed_in_git(team, 5, tmp_path / "kill")
    assert not (team / ".template-answers.json").exists() and status(team)
    assert not hold(team, begun, before, tmp_path / "copy")


@pytest.mark.slow
def test_killed_at_each_file_that_git_writes(begun, tmp_path):
    number, wrong = 1, {}
    while True:
        team = Path(shutil.copytree(begun[0], tmp_path / "team"))
        before = contents(team)
        if not killed_in_git(team, number, tmp_path / "kill"):
            break
        found = hold(team, begun, before, tmp_path / "copy")
        note("file", number, found or "right")
        wrong |= {number: found} if found else {}
        shutil.rmtree(team)
        number += 1 if EXHAUSTIVE else 3
    assert number > 8 and not wrong


@pytest.mark.slow
def test_killed_at_each_of_its_writes(begun, tmp_path):
    """Before the first in its repository it writes into a folder of its own, and starts programs."""
    wrong, (first, total) = {}, writes(begun[0], tmp_path)
    for number in (*sampled(range(1, first - 1), 2), *sampled(range(first - 1, total + 4), 5)):
        team = Path(shutil.copytree(begun[0], tmp_path / "team"))
        before = contents(team)
        code = killed(team, number, tmp_path / "count")
        touched = bool(status(team))
        found = ["not killed"] * (code != -signal.SIGKILL) + hold(team, begun, before, tmp_path / "copy")
        note("kill", number, total, "half written" if touched else "untouched", found or "right")
        wrong |= {number: found} if found else {}
        shutil.rmtree(team)
    assert not wrong


@pytest.mark.slow
def test_killed_and_killed_again(begun, tmp_path):
    """At random writes, one run after the other, until one comes through."""
    chance = random.Random(7)
    first, total = writes(begun[0], tmp_path)
    expected = upgraded(begun[1], 0, 11)
    for turn in range(8 if EXHAUSTIVE else 2):
        team = Path(shutil.copytree(begun[0], tmp_path / "team"))
        kills = [chance.randint(first, total) for _ in range(3)]
        for number in kills:
            killed(team, number, tmp_path / "count")
        code = upgrade_small(team, code=None).returncode
        found = faults(team, "conflicts", 11, expected, begun[1], code)
        note("kills", turn, kills, found or "right")
        assert not found
        shutil.rmtree(team)


@pytest.mark.slow
def test_killed_with_every_program_that_it_started(begun, tmp_path):
    """At any time, git and cookiecutter too: as when a machine is switched off."""
    chance, wrong = random.Random(3), {}
    for turn in range(12 if EXHAUSTIVE else 3):
        team = Path(shutil.copytree(begun[0], tmp_path / "team"))
        before = contents(team)
        env = environment(**on_path(TEMPLATE / ROOT / "src"), TMPDIR=str(tmp_path))
        process = subprocess.Popen(UPGRADE, cwd=team, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(chance.uniform(0.3, 3.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        touched = bool(status(team))
        found = hold(team, begun, before, tmp_path / "copy") if process.returncode < 0 else []
        note("group", turn, process.returncode, "half written" if touched else "untouched", found or "right")
        wrong |= {turn: found} if found else {}
        shutil.rmtree(team)
    assert not wrong


@pytest.mark.slow
def test_what_was_edited_after_the_kill_is_put_aside(begun, tmp_path):
    team = Path(shutil.copytree(begun[0], tmp_path / "team"))
    assert killed_in_git(team, 5, tmp_path / "kill")
    (team / "config.yml").write_text("edited since\n")
    (team / "new.txt").write_text("new since\n")
    assert "An upgrade was interrupted. Make it again" in upgrade_small(team, "--check", code=1).stderr
    told = upgrade_small(team, code=4).stdout
    assert "git stash drop" in told
    kept = git(team, "stash", "show", "--patch", "--include-untracked")
    assert "+edited since" in kept and "+new since" in kept


@pytest.mark.slow
def test_killed_while_it_renews_itself(tmp_path):
    """A release of this template that renames the program's own modules: what is half new runs nevertheless."""
    releases = Releases(tmp_path / "template")
    made = create(releases, tmp_path)
    git(made, "init", "--quiet")
    commit(made)
    package = releases.root / "src/mlops/upgrade"
    (package / "merge.py").rename(package / "merging.py")
    (releases.root / "src/mlops/errors.py").rename(releases.root / "src/mlops/failures.py")
    for path in (releases.root / "src").rglob("*.py"):
        path.write_text(path.read_text().replace("from .merge ", "from .merging ").replace(".errors ", ".failures "))
    releases.release("1.1.0", "- Other names.")
    first, last = writes(made, tmp_path, Path("src"))
    whole = Path(shutil.copytree(made, tmp_path / "whole"))
    upgrade(whole)
    for number in sampled(range(first + 1, last), 2):
        team = Path(shutil.copytree(made, tmp_path / "team"))
        killed(team, number, tmp_path / "count", Path("src"))
        touched = bool(status(team))
        upgrade(team)
        note("itself", number, last, "half written" if touched else "untouched", contents(team) == contents(whole))
        assert contents(team) == contents(whole)
        shutil.rmtree(team)


def test_a_full_disk_changes_nothing_and_is_told(begun, tmp_path):
    """Files may not be larger than a few blocks: git cannot write its index."""
    team = Path(shutil.copytree(begun[0], tmp_path / "team"))
    before = contents(team)
    command = f"ulimit -f 1; exec {shlex.join(UPGRADE)}"
    done = call(team, "bash", "-c", command, code=None, **on_path(TEMPLATE / ROOT / "src"))
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    assert contents(team) == before and not status(team)


@pytest.mark.parametrize("number", [signal.SIGINT, *slow(signal.SIGTERM)])
def test_stopped_before_it_writes_it_leaves_everything_as_it_was(tmp_path, number):
    """The release's hook says that rendering has begun, and waits to be stopped."""
    releases = Small(tmp_path / "template")
    team = create(releases, tmp_path)
    git(team, "init", "--quiet")
    commit(team)
    begun = tmp_path / "begun"
    (releases.folder / "hooks").mkdir()
    hook = f"open({str(begun)!r}, 'w').close()\nimport time\ntime.sleep(60)\n"
    (releases.folder / "hooks/post_gen_project.py").write_text(hook)
    releases.release("1.1.0", "- A hook that takes long.")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = environment(**on_path(TEMPLATE / ROOT / "src"), TMPDIR=str(temporary))
    with (tmp_path / "told").open("w") as told:  # a file: the hook that sleeps has it too, and would hold a pipe open
        process = subprocess.Popen(UPGRADE, cwd=team, env=env, stderr=told, start_new_session=True)
    for _ in range(300):
        if begun.exists():
            break
        time.sleep(0.1)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # Ctrl-C reaches the whole group
    try:
        process.wait(timeout=300)
    finally:
        if begun.exists():
            with contextlib.suppress(ProcessLookupError):  # as it should be: nobody of the group is left
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130 and "nothing was changed" in (tmp_path / "told").read_text()
    assert not status(team) and not [path for path in temporary.iterdir() if path.name.startswith("upgrade-")]
