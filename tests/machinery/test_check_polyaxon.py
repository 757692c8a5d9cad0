"""`make check` finds mistakes in Polyaxon's files, and in the conda environment, and names the file and the field."""

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from mlops.platform import check as checks

FILES = "aisg-context/polyaxon/polyaxonfiles"
# Each: file, what it says, the mistake in its place, the check, and what its finding says.
MISTAKES = {
    "a stage that there is not": (
        f"{FILES}/train.yml", "digit_reader, train]", "digit_reader, trian]", "polyaxonfiles",
        ["train.yml", "spec.containers.0.command", "trian"],
    ),
    "a module that there is not": (
        f"{FILES}/train.yml", "digit_reader, train]", "digit_raeder, train]", "polyaxonfiles",
        ["train.yml", "spec.containers.0.command", "digit_raeder"],
    ),
    "an option that the stage does not have": (
        f"{FILES}/pipeline.yml", "--mode={", "--modes={", "polyaxonfiles",
        ["pipeline.yml", "best: spec.containers.0.command", "--modes"],
    ),
    "an unknown variable": (
        f"{FILES}/data-prep.yml", "--output={" + "{ output }}", "--output={" + "{ outptu }}", "polyaxonfiles",
        ["data-prep.yml", "run.container.args.8", "outptu"],
    ),
    "an unknown variable in the form of an argument": (
        f"{FILES}/train.yml", "--test-batch-size={" + "{ test_batch_size }}",
        "--test-batch-size={" + "{ test_batch_sizes }}", "polyaxonfiles",
        ["train.yml", "inputs.3.argFormat", "test_batch_sizes"],
    ),
    "an unknown global": (
        f"{FILES}/vscode-service.yml", "globals.project_name", "globals.projekt_name", "polyaxonfiles",
        ["vscode-service.yml", "run.container.env.0.value", "projekt_name"],
    ),
    "an unknown connection": (
        f"{FILES}/train.yml", "connections: [polyaxon-v1-data]", "connections: [polyaxon-data]", "polyaxonfiles",
        ["train.yml", "connection", "polyaxon-data"],
    ),
    "a quantity that is none": (
        f"{FILES}/train.yml", "limits: {memory: 4Gi}", "limits: {memory: 8Gigs}", "polyaxonfiles",
        ["train.yml", "spec.containers.0.resources.limits.memory", "8Gigs"],
    ),
    "a misspelt key of the container": (
        f"{FILES}/train.yml", "    command: [", "    comand: [", "polyaxonfiles", ["train.yml", "comand"],
    ),
    "a misspelt group of resources": (
        f"{FILES}/data-prep.yml", "requests: {", "request: {", "polyaxonfiles", ["data-prep.yml", "request"],
    ),
    "a kind that Polyaxon has given up": (
        f"{FILES}/hparam-group.yml", "kind: operation", "kind: group", "polyaxonfiles",
        ["hparam-group.yml", "kind", "group"],
    ),
    "a value of the wrong type": (
        f"{FILES}/train.yml", "value: 1000\n", "value: five\n", "polyaxonfiles", ["train.yml", "five"],
    ),
    "a search over an input that there is not": (
        f"{FILES}/hparam-group.yml", "momentum: {kind", "momentun: {kind", "polyaxonfiles",
        ["hparam-group.yml", "momentun"],
    ),
    "early stopping on an output that there is not": (
        f"{FILES}/hparam-group.yml", "metric: score", "metric: scoer", "polyaxonfiles",
        ["hparam-group.yml", "matrix.earlyStopping", "scoer"],
    ),
    "a reference to a file that there is not": (
        f"{FILES}/hparam-hyperband.yml", "./train.yml", "./trian.yml", "polyaxonfiles",
        ["hparam-hyperband.yml", "trian.yml"],
    ),
    "an operation after one that there is not": (
        f"{FILES}/pipeline.yml", "dependencies: [hparam-group]", "dependencies: [hparam-groups]", "polyaxonfiles",
        ["pipeline.yml", "hparam-groups"],
    ),
    "another version in an image's tag": (
        f"{FILES}/train-distributed.yml", "/train:", "/train:9.", "polyaxonfiles",
        ["train-distributed.yml", "spec.containers.0.image", "pyproject.toml"],
    ),
    "an image that no Dockerfile makes": (
        f"{FILES}/train.yml", "/train:", "/trian:", "polyaxonfiles",
        ["train.yml", "spec.containers.0.image", "trian.Dockerfile"],
    ),
    "a field of the pod that Kubernetes does not have": (
        f"{FILES}/vscode-service.yml", "runAsNonRoot: true", "allowPrivilegeEscalation: false", "polyaxonfiles",
        ["vscode-service.yml", "spec.securityContext", "allowPrivilegeEscalation"],
    ),
    "a misspelt key of the preset": (
        "aisg-context/polyaxon/presets/gpu.yml", "tolerations:", "toleration:", "polyaxonfiles",
        ["gpu.yml", "toleration"],
    ),
    "a claim that no manifest makes": (
        "aisg-context/polyaxon/polyaxon-config.yml", "volumeClaim: polyaxon-v1-data", "volumeClaim: polyaxon-data",
        "names", ["polyaxon-config.yml", "volumeClaim", "polyaxon-data"],
    ),
    "a misspelt key of the platform": (
        "aisg-context/polyaxon/polyaxon-config.yml", "artifactsStore:", "artifactStore:", "polyaxonfiles",
        ["polyaxon-config.yml", "artifactStore"],
    ),
    "a mount of a volume that there is not": (
        f"{FILES}/train.yml", "    resources:\n",
        "    volumeMounts: [{name: gcp-service-acount, mountPath: /key}]\n    resources:\n", "polyaxonfiles",
        ["train.yml", "spec.containers.0.volumeMounts", "gcp-service-acount"],
    ),
    "a probe of another port than the service has": (
        f"{FILES}/jupyter-service.yml", "ports: [8888]", "ports: [8889]", "polyaxonfiles",
        ["jupyter-service.yml", "readinessProbe.httpGet.port", "8888"],
    ),
    "a secret that nobody makes": (
        f"{FILES}/vscode-service.yml", "name: workspace-password", "name: workspace-pasword", "names",
        ["vscode-service.yml", "secretKeyRef.name", "workspace-pasword"],
    ),
    "a time that the clock does not have": (
        f"{FILES}/drift.yml", '"0 * * * *"', '"61 * * * *"', "polyaxonfiles", ["drift.yml", "schedule.cron", "61"],
    ),
    "a version that conda cannot read": (
        "digit-reader-conda-env.yml",
        "python >=3.11,<3.14", "python >=3.11,<<3.14", "conda", ["conda-env.yml", "dependencies.0", "<<3.14"],
    ),
    "the secret that pushes, in a training run": (
        f"{FILES}/train.yml", "imagePullSecrets: []", "imagePullSecrets: [gcp-imagepushsecrets]", "names",
        ["train.yml", "run.environment.imagePullSecrets.0", "gcp-imagepushsecrets", "polyaxon-v1"],
    ),
    "the account that deploys, in a training run": (
        f"{FILES}/train.yml", "  environment:\n", "  environment:\n    serviceAccountName: model-deployer\n",
        "names", ["train.yml", "run.environment.serviceAccountName", "model-deployer", "polyaxon-v1"],
    ),
}  # fmt: skip


def test_the_repository_itself_passes_every_check(environment):
    kept = {name: value for name, value in environment.items() if name != "CI"}
    command = [sys.executable, "-m", "digit_reader", "check"]
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"{name}: ok" for name in checks.CHECKS]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(find_mistake, mistake):
    find_mistake(*MISTAKES[mistake])


@pytest.mark.parametrize(("variables", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_a_check_that_cannot_run_says_so_and_fails_in_ci(check, monkeypatch, variables, code):
    monkeypatch.setitem(sys.modules, "rattler", None)
    monkeypatch.delenv("CI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = check("conda")
    assert answer.output == "conda: NOT CHECKED: rattler is not installed; it comes with: make check\n"
    assert answer.exit_code == code


def test_a_check_that_there_is_not_is_named_with_those_that_there_are(check):
    answer = check("yml")
    assert answer.exit_code == 2 and "'yml' is not one of 'polyaxonfiles', 'kubernetes'" in answer.output


UTILITY = {"acquisitionFunction": "ucb", "kappa": 1.2, "gaussianProcess": {"kernel": "matern"}}
SEARCHES_OF_THE_PLATFORM = {
    "bayes": {"numInitialRuns": 2, "maxIterations": 2, "utilityFunction": UTILITY},
    "tpe": {"numRuns": 2},
}


@pytest.mark.parametrize("kind", SEARCHES_OF_THE_PLATFORM)
def test_a_search_that_only_the_platform_runs_is_accepted_and_its_mistakes_are_found(platform_files, check, kind):
    path = platform_files / FILES / "hparam-group.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    params = content["matrix"]["params"]
    metric = {"name": "score", "optimization": "maximize"}
    content["matrix"] = {"kind": kind, "metric": metric, "params": params, **SEARCHES_OF_THE_PLATFORM[kind]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    answer = check("polyaxonfiles")
    assert (answer.exit_code, answer.output) == (0, "polyaxonfiles: ok\n")
    content["matrix"]["params"] = {"momentun": params["momentum"]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert "hparam-group.yml: matrix.params.momentun: there is no input momentun" in check("polyaxonfiles").output
