"""`make doctor` says what is here and what is missing for which verb, where nothing is installed yet too."""

import shutil
import subprocess
import sys

import pytest
from conftest import as_in_a_terminal


@pytest.fixture
def doctor(bake, tmp_path):
    """Run it where there are only the programs that a test names, each with what it prints; none: it fails."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "git"):
        (programs / name).symlink_to(shutil.which(name))
    (programs / "python3").symlink_to(sys.executable)

    def run(**prints: str | None) -> tuple[subprocess.CompletedProcess, dict[str, str]]:
        for name, text in prints.items():
            (programs / name).write_text(f"#!/bin/sh\n{f'echo {text}' if text else 'exit 1'}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        around = {name: value for name, value in as_in_a_terminal().items() if name != "POLYAXON_HOST"}
        around |= {"PATH": str(programs), "HOME": str(tmp_path)}
        command = ["make", "doctor", f"VENV={tmp_path}/venv", f"SERVING_VENV={tmp_path}/serving"]
        done = subprocess.run(command, cwd=bake(), env=around, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        lines = [line for line in done.stdout.splitlines() if line[:8].strip() in ("ok", "MISSING")]
        return done, {line[8:].partition("  ")[0]: line for line in lines}

    return run


def test_where_nothing_is_installed_each_line_names_the_command_that_helps(doctor, tmp_path):
    done, told = doctor(docker=None, kubectl="v1")  # a client of docker whose engine does not answer
    assert done.returncode and "The laptop path does not work yet" in done.stdout
    assert told["make"].startswith("ok") and told["kubectl"].startswith("ok")
    environment = told[f"{tmp_path}/venv"]
    assert environment.startswith("MISSING") and environment.endswith("make setup")
    assert told["docker, podman, buildah"].startswith("MISSING") and "docker info" in told["docker, podman, buildah"]
    assert told["gcloud"].startswith("MISSING") and "https://" in told["gcloud"]


def test_the_laptop_path_is_enough(doctor, tmp_path):
    for name in ("venv", "serving"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/python").write_text("#!/bin/sh\necho Python 3.12.1\n", encoding="utf-8")
        (tmp_path / name / "bin/python").chmod(0o755)
    done, _ = doctor(podman="host:")
    assert done.returncode == 0 and "make pipeline" in done.stdout, done.stdout
    (tmp_path / "venv/.unfinished").touch()
    assert doctor()[0].returncode


def test_the_host_is_the_one_that_polyaxon_has_noted(doctor, tmp_path):
    (tmp_path / ".polyaxon").mkdir()
    (tmp_path / ".polyaxon/.client").write_text('{"POLYAXON_HOST": "http://localhost:8117"}', encoding="utf-8")
    assert "http://localhost:8117" in doctor()[1]["Polyaxon's host"]
    (tmp_path / ".polyaxon/.client").write_text("{", encoding="utf-8")
    assert doctor()[1]["Polyaxon's host"].startswith("MISSING")
