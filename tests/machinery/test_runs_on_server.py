"""`best` and `package` with the runs of a Polyaxon server, as the packaging workflow has them: the real server."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from mlops import processes, project

PROJECT = project.name()


@pytest.fixture(scope="module")
def server(workplace, trained, stage, environment, tmp_path_factory):
    """A Polyaxon server that holds two runs; gives the environment in which a stage asks it."""
    stage("train", "--name", "worse", "--epochs", "1", "--train-steps", "20")
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(workplace / "outputs/runs", folder / "runs")
    port = processes.free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops.platform.dashboard", f"--port={port}"],
            cwd=folder, env=environment | {"MLOPS_OUTPUTS": str(folder), "PYTHONUNBUFFERED": "1"},
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
            "MLOPS_RUNS_PROJECT": f"default/{PROJECT}",
            "MLOPS_RUNS_FOLDER": str(folder / "runs"),
            "HOME": str(folder),
            "MLOPS_OUTPUTS": str(folder / "nothing-here"),  # nothing may come from files of this machine
        }
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def ask(command, environment, cwd, *words) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [*command, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
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
def test_a_job_of_the_platform_asks_about_the_project_that_its_file_names(server, command, workplace):
    """With the variables that pipeline.yml gives its last operation, compiled by Polyaxon for a project."""
    from mlops.platform import compilation

    compilation.use_platform()
    whole = compilation.read(project.ROOT / "aisg-context/polyaxon/polyaxonfiles/pipeline.yml")
    (best,) = [each for name, each in compilation.one_of_each(whole) if name == "best"]
    (pod,) = compilation.pods(best, PROJECT)
    variables = pod["containers"][0]["env"]
    given = {item["name"]: item["value"] for item in variables if item["name"].startswith("MLOPS_")}
    assert given["MLOPS_RUNS_PROJECT"] == f"default/{PROJECT}"
    job = server | given | {"MLOPS_RUNS_FOLDER": server["MLOPS_RUNS_FOLDER"]}
    job |= {"POLYAXON_IS_MANAGED": "true", "POLYAXON_RUN_INSTANCE": f"default.{PROJECT}.runs.{'0' * 32}"}
    found = ask(command, job, workplace, "best", "--id")
    assert found.returncode == 0 and found.stdout == ask(command, server, workplace, "best", "--id").stdout


@pytest.mark.slow
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
    done = ask(command, server | {"MLOPS_RUNS_PROJECT": "default/other"}, workplace, "best")
    assert done.returncode == 1 and "no project default/other" in done.stderr
    done = ask(command, server, workplace, "best", "--run", "zzz")
    assert done.returncode == 1 and f"in the Polyaxon project default/{PROJECT}" in done.stderr


def test_a_server_that_is_not_there_is_said(command, environment, workplace, data_file, tmp_path):
    gone = environment | {
        "POLYAXON_HOST": f"http://127.0.0.1:{processes.free_port()}", "MLOPS_RUNS_PROJECT": "p", "HOME": str(tmp_path),
    }  # fmt: skip
    done = ask(command, gone, workplace, "best")
    assert done.returncode == 1 and "MLOPS_RUNS_FOLDER" in done.stderr
    done = ask(command, gone | {"MLOPS_RUNS_FOLDER": str(tmp_path)}, workplace, "best")
    assert done.returncode == 1 and "No Polyaxon answers" in done.stderr


def test_a_workspace_on_the_cluster_has_the_runs_made_in_it(command, environment, workplace, trained):
    """Polyaxon's own variables are about the workspace: they choose no other place to look for runs."""
    workspace = {
        "POLYAXON_IS_MANAGED": "true",
        "POLYAXON_HOST": f"http://127.0.0.1:{processes.free_port()}",
        "POLYAXON_RUN_INSTANCE": f"default.{PROJECT}.runs.{'0' * 32}",
    }
    done = ask(command, environment | workspace, workplace, "best", "--run", trained, "--id")
    assert done.stdout.strip() == trained, done.stderr
