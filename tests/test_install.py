"""install.sh and uv.sh: what is locked is installed, from where pip's own settings say. On a package index here."""

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import tomllib
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

import pytest
from conftest import TEMPLATE
from packaging.requirements import Requirement

SCRIPTS = TEMPLATE / "{{cookiecutter.repo_name}}/src/mlops/platform"
LOCK = ["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--all-extras", "pyproject.toml"]
PROJECT = """
[project]
name = "numbers"
version = "1"
requires-python = ">=3.11"
dependencies = ["thing==1.0"]
[project.optional-dependencies]
train = [
  "torch==2.0.0",
]
"""


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    """A distribution with nothing in it, where an index of plain folders has it."""
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index like PyPI, whose torch brings CUDA's libraries, and under cpu one like PyTorch's."""
    folder = tmp_path_factory.mktemp("index")
    wheel(folder, "thing", "1.0")
    wheel(folder, "torch", "2.0.0", "cuda", "thing")
    wheel(folder, "cuda", "1.0")
    wheel(folder / "cpu", "torch", "2.0.0+cpu", "thing")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    handler.func.log_message = lambda *words: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def place(index, tmp_path):
    """A repository of two dependencies and its environment, on a machine whose pip.conf names the index."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {index}\n")
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = next((tmp_path / "venv/lib").glob("python3.*/site-packages"))
    (packages / "tools.pth").write_text(sysconfig.get_path("purelib") + "\n")  # this environment's pip and uv

    def run(script, *words, code=0, **variables):
        known = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        known |= {"PIP_CONFIG_FILE": f"{tmp_path}/pip.conf", "UV_CACHE_DIR": f"{tmp_path}/cache"}
        command = ["sh", SCRIPTS / script, python, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=known | variables, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stderr
        return done

    def installed():
        names = (path.name.removesuffix(".dist-info") for path in packages.glob("*.dist-info"))
        return dict(name.rsplit("-", 1) for name in names)

    run.installed, run.address, run.folder = installed, index, tmp_path
    (tmp_path / "requirements.txt").write_text(run("uv.sh", *LOCK).stdout)
    return run


def test_on_a_machine_without_a_gpu_torch_is_the_one_for_the_cpu(place):
    place("install.sh", "train", ACCELERATOR="cpu", TORCH_INDEX=f"{place.address}/cpu")
    assert place.installed() == {"thing": "1.0", "torch": "2.0.0+cpu"}
    place("install.sh", "train", ACCELERATOR="cpu", TORCH_INDEX="http://127.0.0.1:9/")  # it is there: nothing is asked
    assert place.installed() == {"thing": "1.0", "torch": "2.0.0+cpu"}


def test_where_pytorchs_index_is_not_reached_pypis_build_is_taken_and_told(place):
    done = place("install.sh", "train", ACCELERATOR="cpu", TORCH_INDEX="http://127.0.0.1:9/")
    assert "taking PyPI's build" in done.stderr and "error:" not in done.stderr
    assert place.installed() == {"thing": "1.0", "torch": "2.0.0", "cuda": "1.0"}


def test_only_what_is_asked_for_is_installed(place):
    place("install.sh", ACCELERATOR="cpu", PIP_USER="1", PIP_REQUIRE_VIRTUALENV="1")
    assert place.installed() == {"thing": "1.0"}
    said = place("install.sh", "train", ACCELERATOR="tpu", code=1).stderr
    assert said == "ACCELERATOR is cpu or cuda, not tpu\n"


def test_what_uv_has_kept_is_installed_without_a_network_and_told(place):
    place("install.sh")
    shutil.rmtree(next((place.folder / "venv/lib").glob("python3.*/site-packages/thing-1.0.dist-info")))
    unreachable = {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    assert "Installed 1 package" in place("install.sh", **unreachable).stderr
    assert place.installed() == {"thing": "1.0"}


def test_a_home_that_cannot_be_written_to_costs_only_the_cache(place):
    place("install.sh", UV_CACHE_DIR="/dev/null/cache")
    assert place.installed() == {"thing": "1.0"}


def test_a_file_that_is_not_the_one_locked_is_refused(place):
    lock = place.folder / "requirements.txt"
    text = lock.read_text()
    lock.write_text(text.replace(text.split("sha256:")[1][:64], "0" * 64))
    assert "ash mismatch" in place("install.sh", "train", ACCELERATOR="cuda", code=1).stderr
    assert place.installed() == {}


@pytest.mark.parametrize("example", ["images", "table"])
def test_the_locks_hold_every_version_of_pyproject(bake, example):
    repository = bake(example=example)
    file = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    extras = file["project"]["optional-dependencies"].values()
    for name, lists in (
        ("requirements.txt", [file["project"]["dependencies"], *extras]),
        ("serving-requirements.txt", [file["dependency-groups"]["serving"]]),
    ):
        lines = (repository / name).read_text(encoding="utf-8").splitlines()
        locked = {line.split()[0] for line in lines if line[0] not in " #"}
        wanted = [Requirement(line) for line in chain(*lists)]
        pins = {f"{one.name.lower()}{one.specifier}" for one in wanted if one.name != file["project"]["name"]}
        assert {pin.replace("_", "-") for pin in pins} <= locked, f"{name} is older than pyproject.toml: type make lock"


@pytest.mark.slow
def test_a_setup_that_cannot_install_leaves_a_finished_environment_finished(bake, tmp_path):
    repository, venv = shutil.copytree(bake(), tmp_path / "repository"), tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (venv / ".finished").touch()
    env = os.environ | {"PIP_NO_INDEX": "1"}
    command = ["make", "setup", f"VENV={venv}"]
    assert subprocess.run(command, cwd=repository, env=env, capture_output=True, check=False).returncode == 2
    assert not (venv / ".unfinished").exists()
