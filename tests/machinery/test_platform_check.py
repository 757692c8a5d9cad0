"""`make check` finds mistakes in the platform's files, and names the file and the field."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT
from dockerfile_parse import DockerfileParser
from mlops import cli
from mlops.platform import check as checks

FILES = "aisg-context/polyaxon/polyaxonfiles"
# Each: file, what it says, the mistake in its place, the check, and what its finding says.
MISTAKES = {
    "a stage that there is not": (
        f"{FILES}/train.yml",
        "digit_reader, train]",
        "digit_reader, trian]",
        "polyaxonfiles",
        ["train.yml", "spec.containers.0.command", "trian"],
    ),
    "a module that there is not": (
        f"{FILES}/train.yml",
        "digit_reader, train]",
        "digit_raeder, train]",
        "polyaxonfiles",
        ["train.yml", "spec.containers.0.command", "digit_raeder"],
    ),
    "an option that the stage does not have": (
        f"{FILES}/pipeline.yml",
        "--mode={",
        "--modes={",
        "polyaxonfiles",
        ["pipeline.yml", "best: spec.containers.0.command", "--modes"],
    ),
    "an unknown variable": (
        f"{FILES}/data-prep.yml",
        "--output={" + "{ output }}",
        "--output={" + "{ outptu }}",
        "polyaxonfiles",
        ["data-prep.yml", "run.container.args.8", "outptu"],
    ),
    "an unknown variable in the form of an argument": (
        f"{FILES}/train.yml",
        "--test-batch-size={" + "{ test_batch_size }}",
        "--test-batch-size={" + "{ test_batch_sizes }}",
        "polyaxonfiles",
        ["train.yml", "inputs.3.argFormat", "test_batch_sizes"],
    ),
    "an unknown global": (
        f"{FILES}/vscode-service.yml",
        "globals.project_name",
        "globals.projekt_name",
        "polyaxonfiles",
        ["vscode-service.yml", "run.container.env.0.value", "projekt_name"],
    ),
    "an unknown connection": (
        f"{FILES}/train.yml",
        "connections: [polyaxon-v1-data]",
        "connections: [polyaxon-data]",
        "polyaxonfiles",
        ["train.yml", "connection", "polyaxon-data"],
    ),
    "a quantity that is none": (
        f"{FILES}/train.yml",
        "limits: {memory: 4Gi}",
        "limits: {memory: 8Gigs}",
        "polyaxonfiles",
        ["train.yml", "spec.containers.0.resources.limits.memory", "8Gigs"],
    ),
    "a misspelt key of the container": (
        f"{FILES}/train.yml",
        "    command: [",
        "    comand: [",
        "polyaxonfiles",
        ["train.yml", "comand"],
    ),
    "a misspelt group of resources": (
        f"{FILES}/data-prep.yml",
        "requests: {",
        "request: {",
        "polyaxonfiles",
        ["data-prep.yml", "request"],
    ),
    "a kind that Polyaxon has given up": (
        f"{FILES}/hparam-group.yml",
        "kind: operation",
        "kind: group",
        "polyaxonfiles",
        ["hparam-group.yml", "kind", "group"],
    ),
    "a value of the wrong type": (
        f"{FILES}/train.yml",
        "value: 1000\n",
        "value: five\n",
        "polyaxonfiles",
        ["train.yml", "five"],
    ),
    "a search over an input that there is not": (
        f"{FILES}/hparam-group.yml",
        "momentum: {kind",
        "momentun: {kind",
        "polyaxonfiles",
        ["hparam-group.yml", "momentun"],
    ),
    "early stopping on an output that there is not": (
        f"{FILES}/hparam-group.yml",
        "metric: score",
        "metric: scoer",
        "polyaxonfiles",
        ["hparam-group.yml", "matrix.earlyStopping", "scoer"],
    ),
    "a reference to a file that there is not": (
        f"{FILES}/hparam-hyperband.yml",
        "./train.yml",
        "./trian.yml",
        "polyaxonfiles",
        ["hparam-hyperband.yml", "trian.yml"],
    ),
    "an operation after one that there is not": (
        f"{FILES}/pipeline.yml",
        "dependencies: [hparam-group]",
        "dependencies: [hparam-groups]",
        "polyaxonfiles",
        ["pipeline.yml", "hparam-groups"],
    ),
    "another version in an image's tag": (
        f"{FILES}/train-distributed.yml",
        "/train:",
        "/train:9.",
        "polyaxonfiles",
        ["train-distributed.yml", "spec.containers.0.image", "pyproject.toml"],
    ),
    "an image that no Dockerfile makes": (
        f"{FILES}/train.yml",
        "/train:",
        "/trian:",
        "polyaxonfiles",
        ["train.yml", "spec.containers.0.image", "trian.Dockerfile"],
    ),
    "a field of the pod that Kubernetes does not have": (
        f"{FILES}/vscode-service.yml",
        "runAsNonRoot: true",
        "allowPrivilegeEscalation: false",
        "polyaxonfiles",
        ["vscode-service.yml", "spec.securityContext", "allowPrivilegeEscalation"],
    ),
    "a misspelt key of the preset": (
        "aisg-context/polyaxon/presets/gpu.yml",
        "tolerations:",
        "toleration:",
        "polyaxonfiles",
        ["gpu.yml", "toleration"],
    ),
    "a claim that no manifest makes": (
        "aisg-context/polyaxon/polyaxon-config.yml",
        "volumeClaim: polyaxon-v1-data",
        "volumeClaim: polyaxon-data",
        "names",
        ["polyaxon-config.yml", "volumeClaim", "polyaxon-data"],
    ),
    "a misspelt key of the platform": (
        "aisg-context/polyaxon/polyaxon-config.yml",
        "artifactsStore:",
        "artifactStore:",
        "polyaxonfiles",
        ["polyaxon-config.yml", "artifactStore"],
    ),
    "a misspelt field of a manifest": (
        "aisg-context/k8s/volume.yml",
        "storageClassName:",
        "storageClass:",
        "kubernetes",
        ["volume.yml", "spec", "storageClass"],
    ),
    "a mount of a volume that there is not": (
        f"{FILES}/train.yml",
        "    resources:\n",
        "    volumeMounts: [{name: gcp-service-acount, mountPath: /key}]\n    resources:\n",
        "polyaxonfiles",
        ["train.yml", "spec.containers.0.volumeMounts", "gcp-service-acount"],
    ),
    "a probe of another port than the service has": (
        f"{FILES}/jupyter-service.yml",
        "ports: [8888]",
        "ports: [8889]",
        "polyaxonfiles",
        ["jupyter-service.yml", "readinessProbe.httpGet.port", "8888"],
    ),
    "a secret that nobody makes": (
        f"{FILES}/vscode-service.yml",
        "name: workspace-password",
        "name: workspace-pasword",
        "names",
        ["vscode-service.yml", "secretKeyRef.name", "workspace-pasword"],
    ),
    "a time that the clock does not have": (
        f"{FILES}/drift.yml",
        '"0 * * * *"',
        '"61 * * * *"',
        "polyaxonfiles",
        ["drift.yml", "schedule.cron", "61"],
    ),
    "a version that conda cannot read": (
        "CONDA",
        "python >=3.11,<3.14",
        "python >=3.11,<<3.14",
        "conda",
        ["conda-env.yml", "dependencies.0", "<<3.14"],
    ),
}


@pytest.fixture
def check(team):
    """Run `python -m digit_reader check` in this process, which loads Polyaxon only once."""

    def run(root: Path, *names: str):
        return CliRunner().invoke(cli.stages(team), ["check", "--root", str(root), *names])

    return run


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The platform's files, to be spoilt."""
    for name in ("aisg-context", "docker", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [ROOT / "pyproject.toml", *ROOT.glob("*-conda-env.yml")]:
        shutil.copy(path, tmp_path)
    return tmp_path


def run_check(*names: str, environment: dict[str, str], **more: str) -> subprocess.CompletedProcess:
    """Run the check as `make check` does: in a process of its own."""
    kept = {name: value for name, value in environment.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "digit_reader", "check", *names],
        cwd=ROOT, env=kept | more, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_repository_itself_passes_every_check(environment):
    answer = run_check(environment=environment)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines() == [f"{name}: ok" for name in checks.CHECKS]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(copy: Path, check, mistake: str):
    name, right, wrong, category, said = MISTAKES[mistake]
    path = next(copy.glob("*-conda-env.yml")) if name == "CONDA" else copy / name
    text = path.read_text(encoding="utf-8")
    assert right in text, "the mistake no longer fits the file"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    answer = check(copy, category)
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.output
    findings = [line for line in answer.output.splitlines() if line.startswith("  ")]
    assert any(all(word in line for word in said) for line in findings), answer.output


@pytest.mark.parametrize(("variables", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_a_check_that_cannot_run_says_so_and_fails_in_ci(check, monkeypatch, variables, code):
    monkeypatch.delitem(sys.modules, "mlops.platform.check_conda", raising=False)
    monkeypatch.setitem(sys.modules, "rattler", None)
    monkeypatch.delenv("CI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = check(ROOT, "conda")
    assert answer.output == "conda: NOT CHECKED: rattler is not installed; it comes with: make check\n"
    assert answer.exit_code == code


def test_a_check_that_there_is_not_is_named_with_those_that_there_are(check):
    answer = check(ROOT, "yml")
    assert answer.exit_code == 2 and "There is no check yml; there are: polyaxonfiles, kubernetes" in answer.output


UTILITY = {"acquisitionFunction": "ucb", "kappa": 1.2, "gaussianProcess": {"kernel": "matern"}}
SEARCHES_OF_THE_PLATFORM = {
    "bayes": {"numInitialRuns": 2, "maxIterations": 2, "utilityFunction": UTILITY},
    "tpe": {"numRuns": 2},
}


@pytest.mark.parametrize("kind", SEARCHES_OF_THE_PLATFORM)
def test_a_search_that_only_the_platform_runs_is_accepted_and_its_mistakes_are_found(copy, check, kind):
    path = copy / FILES / "hparam-group.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    params = content["matrix"]["params"]
    metric = {"name": "score", "optimization": "maximize"}
    content["matrix"] = {"kind": kind, "metric": metric, "params": params, **SEARCHES_OF_THE_PLATFORM[kind]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    answer = check(copy, "polyaxonfiles")
    assert (answer.exit_code, answer.output) == (0, "polyaxonfiles: ok\n")
    content["matrix"]["params"] = {"momentun": params["momentum"]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert "hparam-group.yml: matrix.params.momentun: there is no input momentun" in check(copy, "polyaxonfiles").output


def test_defaults_of_the_polyaxonfiles_are_those_of_the_command(team):
    component = yaml.safe_load((ROOT / FILES / "train.yml").read_text(encoding="utf-8"))
    defaults = {item["name"]: item["value"] for item in component["inputs"] if "value" in item}
    wanted = team.code().training.hyperparameters()
    shared = {name for name in defaults if hasattr(wanted, name)}
    assert {"test_batch_size", "recipe"} <= shared
    assert {name: defaults[name] for name in shared} == {name: getattr(wanted, name) for name in shared}


def test_every_input_of_a_polyaxonfile_reaches_what_runs():
    """Polyaxon takes a value for an input that nothing reads, and the run goes on without it."""
    seen = set()
    for path in sorted((ROOT / FILES).glob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        component = content.get("component", content)
        runs = yaml.safe_dump(component.get("run", {}), width=1000)
        for item in component.get("inputs", []):
            seen.add(item["name"])
            used = f"params.{item['name']}." in runs or f" {item['name']} " in runs
            assert used, f"{path.name}: inputs.{item['name']}: nothing under run reads it"
    assert {"data", "momentum"} <= seen


def test_no_service_is_open_to_all():
    for path in (ROOT / FILES).glob("*-service.yml"):
        container = yaml.safe_load(path.read_text(encoding="utf-8"))["run"]["container"]
        secrets = [item["name"] for item in container["env"] if "valueFrom" in item]
        assert secrets in (["PASSWORD"], ["JUPYTER_TOKEN"]), path
        command = " ".join(container["command"] + container["args"])
        assert "token=" not in command and "--auth=none" not in command and "--auth none" not in command


def test_images_are_named_once_by_prefix_and_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    image = f"{project['tool']['images']['prefix']}/train:{project['project']['version']}"
    component = yaml.safe_load((ROOT / FILES / "train.yml").read_text(encoding="utf-8"))
    assert component["run"]["container"]["image"] == image


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


def test_a_library_of_both_environments_has_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    working = dict(line.split("==") for line in itertools.chain(*lists) if "==" in line)
    words = (ROOT / "serving-requirements.txt").read_text(encoding="utf-8").split()
    serving = dict(word.split("==") for word in words if "==" in word)
    assert "onnxruntime" in working.keys() & serving.keys()  # the bundle's answers are recorded by what serves them
    assert {name: working[name] for name in working if serving.get(name, working[name]) != working[name]} == {}, (
        "pyproject.toml has another version than serving-requirements.txt"
    )


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
    train = yaml.safe_load((ROOT / FILES / "train.yml").read_text(encoding="utf-8"))
    assert train["run"]["environment"]["securityContext"]["runAsUser"] == int(owner), "train.yml, volume-owner.yml"
    for path in DOCKERFILES:
        serves = path.name == "s2i-builder.Dockerfile"
        assert user_of(path) == (model["securityContext"]["runAsUser"] if serves else int(owner)), path


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
