"""The Dockerfiles: who runs what, which versions they hold, and that their user can read what is copied in."""

import itertools
import json
import os
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from dockerfile_parse import DockerfileParser

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def last_stage(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of the image that a Dockerfile makes, each with its words."""
    with dockerfile.open("rb") as file:
        found = [(item["instruction"], item["value"]) for item in DockerfileParser(fileobj=file).structure]
    begins = max(number for number, (instruction, _) in enumerate(found) if instruction == "FROM")
    return found[begins:]


def user_of(dockerfile: Path) -> int | None:
    """Who runs what an image of it runs; None for root, whom no USER names."""
    users = [words for instruction, words in last_stage(dockerfile) if instruction == "USER"]
    return int(users[-1].partition(":")[0]) if users else None


def test_who_owns_the_volume_is_the_user_of_every_image_and_a_served_model_has_its_own():
    volume = yaml.safe_load((ROOT / "aisg-context/k8s/volume-owner.yml").read_text(encoding="utf-8"))
    (container,) = volume["spec"]["template"]["spec"]["containers"]
    owner = container["command"][-1].split()[1].partition(":")[0]  # chown OWNER:GROUP FOLDER
    deployment = yaml.safe_load((ROOT / "aisg-context/seldon/base/deployment.yml").read_text(encoding="utf-8"))
    (model,) = deployment["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    train = yaml.safe_load((ROOT / "aisg-context/polyaxon/polyaxonfiles" / "train.yml").read_text(encoding="utf-8"))
    assert train["run"]["environment"]["securityContext"]["runAsUser"] == int(owner), "train.yml, volume-owner.yml"
    for path in DOCKERFILES:
        serves = path.name == "s2i-builder.Dockerfile"
        assert user_of(path) == (model["securityContext"]["runAsUser"] if serves else int(owner)), path


def test_a_version_in_a_dockerfile_is_the_one_of_the_lists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    serving = (ROOT / "serving-requirements.txt").read_text(encoding="utf-8").split()
    pinned = {word.lower() for word in (*itertools.chain(*lists), *serving) if "==" in word}
    written = {
        word.lower()
        for path in (ROOT / "docker").glob("*.Dockerfile")
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
        for word in line.split()
        if "==" in word
    }
    assert written and written <= pinned


@pytest.fixture(scope="module")
def private_copy(tmp_path_factory) -> Path:
    """The repository as a clone has it where files are made for their owner alone: umask 077."""
    folder = tmp_path_factory.mktemp("private") / ROOT.name
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git"))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else path.stat().st_mode & 0o700)
    return folder


def layers(image: Path) -> Iterator[tarfile.TarInfo]:
    """Every file and folder of an image in the layout of OCI."""
    blob = lambda digest: image / "blobs" / digest.replace(":", "/")  # noqa: E731
    (manifest,) = json.loads((image / "index.json").read_text(encoding="utf-8"))["manifests"]
    for layer in json.loads(blob(manifest["digest"]).read_text(encoding="utf-8"))["layers"]:
        with tarfile.open(blob(layer["digest"])) as archive:
            yield from archive


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_the_user_of_an_image_can_read_what_is_copied_into_it_whatever_the_umask(private_copy, tmp_path, dockerfile):
    if not shutil.which("buildah"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("NOT CHECKED: it needs buildah, the program")
    copies = [
        f"{instruction} {words}"
        for instruction, words in last_stage(dockerfile)
        if instruction == "WORKDIR" or (instruction == "COPY" and "--from=" not in words)
    ]
    assert any(line.startswith("COPY") for line in copies)
    (tmp_path / "Dockerfile").write_text("\n".join(["FROM scratch", *copies]), encoding="utf-8")
    flags = ["--layers=false", f"--file={tmp_path / 'Dockerfile'}", f"--tag=oci:{tmp_path / 'image'}"]
    subprocess.run(["buildah", "build", *flags, private_copy], check=True, capture_output=True, umask=0o077)
    found = list(layers(tmp_path / "image"))
    assert any(item.isfile() for item in found)
    for item in found:
        bits = 0o5 if item.isdir() else 0o4
        needed = bits << 6 if item.uid == user_of(dockerfile) else bits
        assert item.mode & needed == needed, f"{dockerfile.name}: /{item.name}, mode {item.mode:o}, user {item.uid}"
