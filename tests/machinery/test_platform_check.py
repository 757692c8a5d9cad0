"""`make check` finds mistakes in the platform's files, and names the file and the field."""

import importlib
import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "aisg-context/check.py"
FILES = "aisg-context/polyaxon/polyaxonfiles"
# Each: file, what stands there, the mistake in its place, the check, and what its finding says.
MISTAKES = {
    "a stage that there is not": (
        f"{FILES}/train.yml",
        ".cli, train]",
        ".cli, trian]",
        "polyaxonfiles",
        ["train.yml", "spec.containers.0.command", "trian"],
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
        "--source={" + "{ source }}",
        "--source={" + "{ sauce }}",
        "polyaxonfiles",
        ["data-prep.yml", "run.container.args.0", "sauce"],
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
        "value: 5\n",
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
        "metric: accuracy",
        "metric: acuracy",
        "polyaxonfiles",
        ["hparam-group.yml", "matrix.earlyStopping", "acuracy"],
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
        "platform",
        ["polyaxon-config.yml", "volumeClaim", "polyaxon-data"],
    ),
    "a misspelt key of the platform": (
        "aisg-context/polyaxon/polyaxon-config.yml",
        "artifactsStore:",
        "artifactStore:",
        "platform",
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
        "{name: gcp-service-account, mountPath",
        "{name: gcp-service-acount, mountPath",
        "polyaxonfiles",
        ["train.yml", "spec.containers.0.volumeMounts.0", "gcp-service-acount"],
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
        "links",
        ["vscode-service.yml", "secretKeyRef.name", "workspace-pasword"],
    ),
    "a time that the clock does not have": (
        f"{FILES}/drift.yml",
        '"0 * * * *"',
        '"61 * * * *"',
        "polyaxonfiles",
        ["drift.yml", "schedule.cron", "61"],
    ),
    "a key that stands twice": (
        f"{FILES}/train.yml",
        "name: train\n",
        "name: train\nname: again\n",
        "yaml",
        ["train.yml", "line", "name"],
    ),
    "a base image without a tag": (
        "docker/data-prep.Dockerfile",
        "python:3.11-slim-bookworm",
        "python",
        "dockerfiles",
        ["data-prep.Dockerfile", "line", "DL3006"],
    ),
    "a version that conda cannot read": (
        "CONDA",
        "python=3.11",
        "python >=3.11,<<3.12",
        "conda",
        ["conda-env.yml", "dependencies.0", "<<3.12"],
    ),
}


def check(root: Path, *names: str, **environment: str) -> subprocess.CompletedProcess:
    """Run `make check`'s program on the files under `root`."""
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, PROGRAM, "--root", root, *names],
        capture_output=True,
        text=True,
        timeout=120,
        env=inherited | environment,
    )


@pytest.fixture(scope="module")
def command():
    """The same program inside this process, which has to load Polyaxon once only."""
    sys.path.insert(0, str(PROGRAM.parent))
    yield importlib.import_module("check").main
    sys.path.remove(str(PROGRAM.parent))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The platform's files, to be spoilt."""
    for name in ("aisg-context", "docker"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in [ROOT / "pyproject.toml", *ROOT.glob("*-conda-env.yml")]:
        shutil.copy(path, tmp_path)
    return tmp_path


def test_the_repository_itself_passes_every_check():
    answer = check(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "NOT CHECKED" not in answer.stdout
    assert answer.stdout.count(": ok") == 11


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(copy: Path, command, mistake: str):
    name, right, wrong, category, said = MISTAKES[mistake]
    path = next(copy.glob("*-conda-env.yml")) if name == "CONDA" else copy / name
    text = path.read_text(encoding="utf-8")
    assert right in text, "the mistake no longer fits the file"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    answer = CliRunner().invoke(command, ["--root", str(copy), category])
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.output
    findings = [line for line in answer.output.splitlines() if line.startswith("  ")]
    assert any(all(word in line for word in said) for line in findings), answer.output


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_a_check_that_cannot_run_says_so_and_fails_in_ci(copy: Path, tmp_path: Path, environment, code):
    # A module of the same name that cannot be found: as if yamllint were not installed
    blocker = tmp_path / "without"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'yamllint' else found(name, *rest)\n"
    )
    answer = check(copy, "yaml", PYTHONPATH=str(blocker), **environment)
    assert "yaml: NOT CHECKED" in answer.stdout
    assert answer.returncode == code


def test_defaults_of_the_polyaxonfiles_are_those_of_the_command():
    training = pytest.importorskip(f"{package()}.training")
    component = yaml.safe_load((ROOT / FILES / "train.yml").read_text(encoding="utf-8"))
    defaults = {item["name"]: item["value"] for item in component["inputs"] if "value" in item}
    wanted = training.Hyperparameters()
    shared = {name for name in defaults if hasattr(wanted, name)}
    assert {"epochs", "test_batch_size", "recipe"} <= shared
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
    assert {"data", "momentum", "SA_CRED_PATH"} <= seen


def test_no_service_is_open_to_all():
    for path in (ROOT / FILES).glob("*-service.yml"):
        container = yaml.safe_load(path.read_text(encoding="utf-8"))["run"]["container"]
        secrets = [item["name"] for item in container["env"] if "valueFrom" in item]
        assert secrets in (["PASSWORD"], ["JUPYTER_TOKEN"]), path
        command = " ".join(container["command"] + container["args"])
        assert "token=" not in command and "--auth=none" not in command and "--auth none" not in command


def package() -> str:
    (folder,) = [path for path in (ROOT / "src").iterdir() if (path / "__init__.py").is_file()]
    return folder.name


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


def user_of(dockerfile: Path) -> int | None:
    """Who runs what an image of it runs; None for root, whom no USER names."""
    users = [line.split()[1] for line in dockerfile.read_text(encoding="utf-8").splitlines() if line[:5] == "USER "]
    return int(users[-1].partition(":")[0]) if users else None


def test_who_owns_the_volume_is_the_user_of_every_image_and_a_served_model_has_its_own():
    volume = yaml.safe_load((ROOT / "aisg-context/k8s/volume-owner.yml").read_text(encoding="utf-8"))
    (container,) = volume["spec"]["template"]["spec"]["containers"]
    owner = container["command"][-1].split()[1].partition(":")[0]  # chown OWNER:GROUP FOLDER
    deployment = yaml.safe_load((ROOT / "aisg-context/seldon/base/deployment.yml").read_text(encoding="utf-8"))
    (model,) = deployment["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    train = yaml.safe_load((ROOT / FILES / "train.yml").read_text(encoding="utf-8"))
    assert train["run"]["environment"]["securityContext"]["runAsUser"] == int(owner), "train.yml, volume-owner.yml"
    for path in sorted((ROOT / "docker").glob("*.Dockerfile")):
        serves = path.name == "s2i-builder.Dockerfile"
        assert user_of(path) == (model["securityContext"]["runAsUser"] if serves else int(owner)), path
