"""From a bundle to an image: what s2i's scripts and the smoke test refuse. tools/model_image.py builds a real one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from mlops import local_server, processes
from mlops.platform import model_image
from mlops.serving.bundle_files import environment_of

SCRIPTS = ROOT / "docker/s2i-builder"
SMOKE_TEST = [sys.executable, "-P", "-m", "mlops.serving.smoke_test"]
MODEL_IMAGE = [sys.executable, "-m", "mlops.platform.model_image"]


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    """The bundle, to be spoilt."""
    return shutil.copytree(bundle, tmp_path / "src")


@pytest.fixture
def assemble(copy, serving_python, tmp_path):
    """Run assemble as s2i's Dockerfile does: the source, and the variables of its .s2i/environment."""
    target = tmp_path / "microservice"
    target.mkdir()

    def run(**changed: str) -> subprocess.CompletedProcess:
        environment = {
            "PATH": f"{serving_python.parent}{os.pathsep}{os.environ['PATH']}",
            "S2I_SOURCE": str(copy), "S2I_TARGET": str(target), "S2I_LIBRARIES": str(ROOT / "serving-requirements.txt"),
        }  # fmt: skip
        environment |= environment_of(copy) | changed
        return subprocess.run(
            [SCRIPTS / "assemble"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_bundle_of_make_package_is_an_s2i_source_as_it_stands(assemble, copy, bundle, tmp_path):
    done = assemble()
    assert done.returncode == 0, done.stderr
    laid = {
        path.relative_to(tmp_path / "microservice") for path in (tmp_path / "microservice").rglob("*") if path.is_file()
    }
    packed = {
        path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed <= laid
    assert not list(copy.iterdir()), "the source would be in the image twice"


@pytest.mark.parametrize("name", ["MODEL_NAME", "SERVICE_TYPE", "PERSISTENCE"])
def test_assemble_names_a_variable_that_is_missing(assemble, name):
    done = assemble(**{name: ""})
    assert done.returncode == 1 and f"{name} is not set" in done.stderr and "make package" in done.stderr


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json", "recorded-answers.json", "requirements.txt"])
@pytest.mark.parametrize("empty", [False, True])
def test_assemble_names_a_file_that_is_missing(assemble, copy, name, empty):
    (copy / name).unlink()
    if empty:
        (copy / name).touch()
    done = assemble()
    assert done.returncode == 1 and f"there is no {name}" in done.stderr and "make package" in done.stderr


def test_assemble_refuses_a_bundle_for_other_libraries(assemble, copy):
    with (copy / "requirements.txt").open("a") as file:
        file.write("other==1\n")
    done = assemble()
    assert done.returncode == 1 and "other libraries" in done.stderr and "s2i-builder" in done.stderr


def test_assemble_refuses_a_class_that_cannot_be_imported(assemble):
    done = assemble(MODEL_NAME="nowhere.Nothing")
    assert done.returncode == 1 and "nowhere.Nothing cannot be imported" in done.stderr


def test_run_names_what_is_missing(tmp_path):
    for given, said in (
        ({}, "MODEL_NAME is not set"),
        ({"MODEL_NAME": "a.B"}, "SERVICE_TYPE is not set"),
        ({"MODEL_NAME": "a.B", "SERVICE_TYPE": "MODEL"}, "no model.onnx"),
    ):
        done = subprocess.run(
            [SCRIPTS / "run"], env={"PATH": os.environ["PATH"], **given}, cwd=tmp_path, capture_output=True, text=True,
            timeout=10, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and said in done.stderr and "make package" in done.stderr


def test_save_artifacts_gives_an_archive_that_tar_can_read():
    saved = subprocess.run([SCRIPTS / "save-artifacts"], capture_output=True, check=True, timeout=10)
    assert subprocess.run(["tar", "--list"], input=saved.stdout, capture_output=True, check=True).stdout == b""


@pytest.fixture
def smoke_test(bundle, serving_python, environment, tmp_path, monkeypatch):
    """Smoke-test a running server of the good bundle against another folder."""
    monkeypatch.chdir(tmp_path)

    def run(folder: Path) -> subprocess.CompletedProcess:
        with (tmp_path / "log").open("w") as log, local_server.server(bundle, log=log.fileno()) as (url, _):
            return subprocess.run(
                [*SMOKE_TEST, "--url", url, "--bundle", folder],
                env=environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip

    return run


def test_the_smoke_test_passes_the_bundle_that_is_served(smoke_test, copy):
    done = smoke_test(copy)
    assert done.returncode == 0, done.stderr
    assert "10 answers as recorded" in done.stdout


def flip_a_bit(copy: Path) -> None:
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)


def change(name: str, how):
    def spoil(copy: Path) -> None:
        content = json.loads((copy / name).read_text())
        how(content)
        (copy / name).write_text(json.dumps(content))

    return spoil


SPOILT = {
    "a corrupted model": (flip_a_bit, "model.onnx is not the file that metadata.json tells of"),
    "one answer that differs": (
        change("recorded-answers.json", lambda rows: rows[3]["outputs"].reverse()), "example 3 (3) differs"
    ),
    "an answer that differs a little": (
        change("recorded-answers.json", lambda rows: rows[0]["outputs"].__setitem__(1, 0.01)), "allowed"
    ),
    "an answer that is no number": (
        change("recorded-answers.json", lambda rows: rows[0]["outputs"].__setitem__(0, float("nan"))), "differs by nan"
    ),
    "no answers": (change("recorded-answers.json", list.clear), "nothing to compare"),
    "another run": (change("metadata.json", lambda content: content["run"].update(uuid="0" * 32)), "another run"),
    "other classes": (change("metadata.json", lambda content: content["names"].reverse()), "the names of the answers"),
    "metadata that is missing": (lambda copy: (copy / "metadata.json").unlink(), "metadata.json: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_the_smoke_test_refuses(smoke_test, copy, what):
    spoil, said = SPOILT[what]
    spoil(copy)
    done = smoke_test(copy)
    assert done.returncode == 1 and "REFUSED" in done.stderr and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_the_smoke_test_refuses_a_server_that_is_not_there(bundle, environment):
    url = f"http://127.0.0.1:{processes.free_port()}"
    done = subprocess.run(
        [*SMOKE_TEST, "--url", url, "--bundle", bundle],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "gave no answer" in done.stderr


def test_the_dockerfile_is_the_one_that_s2i_writes(copy, tmp_path):
    model_image.write_dockerfile(copy, "builder:1", "model:abc", tmp_path / "out")
    path = tmp_path / "out/Dockerfile"
    lines = path.read_text().splitlines()
    words = [line.split()[0] for line in lines if not line.startswith(("#", " "))]
    assert words == ["FROM", "LABEL", "ENV", "USER", "COPY", "RUN", "USER", "RUN", "CMD"]
    assert lines[0] == "FROM builder:1" and lines[-1] == "CMD /s2i/bin/run"
    assert {"COPY upload/src /tmp/src", "USER root", "USER 1001", "RUN /s2i/bin/assemble"} <= set(lines)
    assert f'ENV MODEL_NAME="{environment_of(copy)["MODEL_NAME"]}"' in path.read_text()
    assert (path.parent / "upload/src/model.onnx").is_file() and (path.parent / "upload/src/.s2i/environment").is_file()


@pytest.mark.parametrize("words", [["build"], ["serve", "--image=registry/model:1"]])
def test_a_machine_without_a_builder_says_what_it_needs(words, environment, tmp_path, bundle):
    done = subprocess.run(
        [*MODEL_IMAGE, *words], cwd=bundle.parents[1],
        env=environment | {"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "docker, podman or buildah" in done.stderr


def test_without_a_bundle_there_is_no_image(environment, tmp_path):
    if not shutil.which("buildah"):
        pytest.skip("needs a builder")
    for words, said in ((["build"], "make package"), (["serve"], "make model-image")):
        done = subprocess.run(
            [*MODEL_IMAGE, *words, "--builder=buildah"], cwd=tmp_path, env=environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and said in done.stderr
    assert not list(tmp_path.iterdir()), "something half-made was left"
