"""The platform's files agree with each other and with the code, and open nothing to everybody."""

import itertools
import tomllib

import yaml
from conftest import ROOT

FILES = ROOT / "aisg-context/polyaxon/polyaxonfiles"


def test_defaults_of_the_polyaxonfiles_are_those_of_the_command(team):
    component = yaml.safe_load((FILES / "train.yml").read_text(encoding="utf-8"))
    defaults = {item["name"]: item["value"] for item in component["inputs"] if "value" in item}
    wanted = team.code().training.hyperparameters()
    shared = {name for name in defaults if hasattr(wanted, name)}
    assert {"test_batch_size", "recipe"} <= shared
    assert {name: defaults[name] for name in shared} == {name: getattr(wanted, name) for name in shared}


def test_every_input_of_a_polyaxonfile_reaches_what_runs():
    """Polyaxon takes a value for an input that nothing reads, and the run goes on without it."""
    seen = set()
    for path in sorted(FILES.glob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        component = content.get("component", content)
        runs = yaml.safe_dump(component.get("run", {}), width=1000)
        for item in component.get("inputs", []):
            seen.add(item["name"])
            used = f"params.{item['name']}." in runs or f" {item['name']} " in runs
            assert used, f"{path.name}: inputs.{item['name']}: nothing under run reads it"
    assert {"data", "momentum"} <= seen


def test_no_service_is_open_to_all():
    for path in FILES.glob("*-service.yml"):
        container = yaml.safe_load(path.read_text(encoding="utf-8"))["run"]["container"]
        secrets = [item["name"] for item in container["env"] if "valueFrom" in item]
        assert secrets in (["PASSWORD"], ["JUPYTER_TOKEN"]), path
        command = " ".join(container["command"] + container["args"])
        assert "token=" not in command and "--auth=none" not in command and "--auth none" not in command


def test_images_are_named_once_by_prefix_and_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    image = f"{project['tool']['images']['prefix']}/train:{project['project']['version']}"
    component = yaml.safe_load((FILES / "train.yml").read_text(encoding="utf-8"))
    assert component["run"]["container"]["image"] == image


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


def test_a_model_gets_requests_once_it_predicts_and_is_restarted_only_when_it_answers_nothing():
    served = yaml.safe_load((ROOT / "aisg-context/seldon/base/deployment.yml").read_text(encoding="utf-8"))
    (container,) = served["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    predicts, answers = "/health/status", "/health/ping"
    assert paths == {"startupProbe": predicts, "readinessProbe": predicts, "livenessProbe": answers}, "deployment.yml"


def test_jupyterlab_asks_for_a_token_and_stays_inside():
    documents = list(yaml.safe_load_all((ROOT / "aisg-context/k8s" / "jupyterlab.yml").read_text(encoding="utf-8")))
    (deployment,) = [item for item in documents if item["kind"] == "Deployment"]
    (service,) = [item for item in documents if item["kind"] == "Service"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (token,) = [item for item in container["env"] if item["name"] == "JUPYTER_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"]["name"] and "value" not in token
    assert not [word for word in container["args"] if "token" in word.lower() or "password" in word.lower()]
    assert service["spec"]["type"] == "ClusterIP"


def test_drift_asks_where_the_replicas_have_their_metrics():
    served = yaml.safe_load((ROOT / "aisg-context/seldon/base/deployment.yml").read_text(encoding="utf-8"))
    component = served["spec"]["predictors"][0]["componentSpecs"][0]
    service = yaml.safe_load((ROOT / "aisg-context/k8s" / "model-metrics.yml").read_text(encoding="utf-8"))
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    path = component["metadata"]["annotations"]["prometheus.io/path"]
    drift = yaml.safe_load((FILES / "drift.yml").read_text(encoding="utf-8"))
    (url,) = [item["value"] for item in drift["component"]["inputs"] if item["name"] == "url"]
    assert url == f"http://{host}:{service['spec']['ports'][0]['port']}{path}"
