"""`best` and `package` with the runs of a Polyaxon server, as the packaging workflow has them: the real server."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from {{ cookiecutter.src_package_name }} import local_server

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]


@pytest.fixture(scope="module")
def server(workplace, trained, stage, environment, tmp_path_factory):
    """A Polyaxon server that holds two runs; gives the environment in which a stage asks it."""
    stage("train", "--name", "worse", "--epochs", "1", "--train-steps", "20")
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(workplace / "outputs/runs", folder / "runs")
    port = local_server.free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "aisg-context/polyaxon/dashboard.py", f"--port={port}"],
            cwd=folder, env=environment | {"POLYAXON_OFFLINE_ROOT": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(240):
            if "/ui/" in (folder / "log").read_text() or process.poll() is not None:
                break
            time.sleep(0.5)
        assert "/ui/" in (folder / "log").read_text(), (folder / "log").read_text()
        yield environment | {
            "POLYAXON_HOST": f"http://127.0.0.1:{port}",
            "RUNS_PROJECT": f"default/{PROJECT}",
            "RUNS_FOLDER": str(folder / "runs"),
            "HOME": str(folder),
            "POLYAXON_OFFLINE_ROOT": str(folder / "nothing-here"),  # nothing may come from files of this machine
        }
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def ask(command, environment, cwd, *words) -> subprocess.CompletedProcess:
    done = subprocess.run([*command, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=200)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.slow
def test_the_server_names_the_same_best_run_as_the_files_of_this_machine(server, command, workplace, stage):
    done = ask(command, server, workplace, "best", "--id")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == stage("best", "--id").stdout.strip()
    told = ask(command, server, workplace, "best").stdout
    here = stage("best").stdout
    assert {line.split()[0] for line in told.splitlines()} == {line.split()[0] for line in here.splitlines()}


@pytest.mark.slow
@pytest.mark.slow
def test_a_job_of_the_platform_asks_about_its_own_project(server, command, workplace):
    """With the variables that Polyaxon gives a container (see `make check`, which compiles pipeline.yml to a pod)."""
    job = {name: value for name, value in server.items() if name != "RUNS_PROJECT"}
    job |= {"POLYAXON_IS_MANAGED": "true", "POLYAXON_RUN_INSTANCE": f"default.{PROJECT}.runs.{'0' * 32}"}
    assert ask(command, job, workplace, "best", "--id").stdout == ask(command, server, workplace, "best", "--id").stdout


def test_a_run_is_found_by_the_beginning_of_its_uuid_and_packaged_from_the_store(
    server, command, workplace, trained, tmp_path, stage, data_file
):
    found = ask(command, server, workplace, "best", "--run", trained[:10], "--id")
    assert found.stdout.strip() == trained, found.stderr
    done = ask(command, server, workplace, "package", "--run", trained, "--output", str(tmp_path / "bundle"))
    assert done.returncode == 0, done.stderr
    stage("package", "--run", trained, "--output", str(tmp_path / "local"))
    theirs, ours = (json.loads((tmp_path / name / "metadata.json").read_text()) for name in ("bundle", "local"))
    assert theirs["run"]["uuid"] == trained and theirs["hyperparameters"] == ours["hyperparameters"]
    assert theirs["metrics"] == ours["metrics"] and theirs["code"] == ours["code"] and theirs["data"] == ours["data"]


@pytest.mark.slow
def test_what_the_server_does_not_have_is_said(server, command, workplace):
    done = ask(command, server | {"RUNS_PROJECT": "default/other"}, workplace, "best")
    assert done.returncode == 1 and "no project default/other" in done.stderr
    done = ask(command, server, workplace, "best", "--run", "zzz")
    assert done.returncode == 1 and f"in the Polyaxon project default/{PROJECT}" in done.stderr


def test_a_server_that_is_not_there_is_said(command, environment, tmp_path):
    gone = {"POLYAXON_HOST": f"http://127.0.0.1:{local_server.free_port()}", "RUNS_PROJECT": "p", "HOME": str(tmp_path)}
    done = ask(command, environment | gone, tmp_path, "best")
    assert done.returncode == 1 and "RUNS_FOLDER" in done.stderr
    done = ask(command, environment | gone | {"RUNS_FOLDER": str(tmp_path)}, tmp_path, "best")
    assert done.returncode == 1 and "No Polyaxon answers" in done.stderr
