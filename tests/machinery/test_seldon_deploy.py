"""`make deploy` touches only a cluster of the repository's project, says what it will do, and puts back what served.

kubectl is the real one where it reads its configuration and builds with kustomize. There is no cluster here: its wait
is held to sequences of what a cluster does, drawn at random. tests/cluster deploys to a real API server.
"""

import contextlib
import re
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
import yaml
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlops import project
from mlops.errors import UserError
from mlops.platform import deploy, rollout

OWN = project.cluster(ROOT)
OLD, NEW = (f"registry/model@sha256:{digit * 64}" for digit in "ab")


@pytest.fixture
def run(tmp_path, environment):
    """Run the program in an empty folder, with the contexts given: name to the name of their cluster."""

    def start(*words: str, **contexts: str) -> subprocess.CompletedProcess:
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": next(iter(contexts), ""),
            "contexts": [
                {"name": name, "context": {"cluster": cluster, "user": "u"}} for name, cluster in contexts.items()
            ],
            "clusters": [
                {"name": name, "cluster": {"server": "http://127.0.0.1:1"}} for name in set(contexts.values())
            ],
            "users": [{"name": "u", "user": {}}],
        }  # fmt: skip
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        return subprocess.run(
            [sys.executable, "-m", "mlops.platform.deploy", *words],
            cwd=tmp_path, env=environment | {"KUBECONFIG": str(tmp_path / "kubeconfig")},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return start


def cluster_of(project: str) -> str:
    return f"gke_{project}_{OWN['zone']}_{OWN['name']}"


@pytest.mark.parametrize(
    "cluster",
    [
        cluster_of("another-project"),
        cluster_of(OWN["project"] + "-2"),
        cluster_of("x" + OWN["project"]),
        f"gke_{OWN['project']}",
        "minikube",
        OWN["project"],
        "",
    ],
)
@pytest.mark.parametrize("name", ["here", cluster_of(OWN["project"])])  # what a context is called proves nothing
def test_a_context_of_another_project_is_refused_and_left_alone(run, cluster, name):
    done = run(f"--image={NEW}", "--yes", **{name: cluster})
    assert done.returncode == 1 and "not in this repository's project" in done.stderr
    assert OWN["project"] in done.stderr and "gcloud container clusters get-credentials" in done.stderr
    assert "127.0.0.1" not in done.stderr + done.stdout, "it was asked all the same"


def test_without_a_context_or_with_one_that_there_is_not_the_remedy_is_said(run):
    assert "no current context" in run(f"--image={NEW}").stderr
    done = run(f"--image={NEW}", "--context=there", here=cluster_of(OWN["project"]))
    assert "no context there" in done.stderr and "here" in done.stderr


@pytest.mark.parametrize(
    "image", ["registry/model:1", "registry/model", "registry/model@sha256:abc", "registry/model:1@latest"]
)
def test_an_image_that_is_not_named_by_its_digest_is_refused(run, image):
    done = run(f"--image={image}", "--dry-run", here=cluster_of(OWN["project"]))
    assert done.returncode == 1 and "sha256" in done.stderr


def test_the_workflow_deploys_images_of_this_repositorys_models_alone(run):
    done = run(f"--image={NEW}", "--in-cluster", "--dry-run")
    assert done.returncode == 1 and "no image of this repository's models" in done.stderr
    own = f"{project.images(ROOT)[0]}/model@{NEW.partition('@')[2]}"
    assert run(f"--image={own}", "--in-cluster", "--dry-run").returncode == 0


def test_the_image_made_last_is_taken_once_it_was_pushed(run, tmp_path):
    own = cluster_of(OWN["project"])
    assert "make model-image" in run(here=own).stderr
    record = tmp_path / "build/model-image.json"
    record.parent.mkdir()
    record.write_text('{"image": "registry:5000/model:123", "run": "r1", "commit": null, "digest": null}')
    assert "ARGS=--push" in run(here=own).stderr
    record.write_text(record.read_text().replace('"digest": null', f'"digest": "{NEW.partition("@")[2]}"'))
    done = run("--dry-run", here=own)
    assert done.returncode == 0, done.stderr
    assert f"registry:5000/{NEW.partition('/')[2]}" in done.stdout and "model/run: r1" in done.stdout


def manifest_of(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout[done.stdout.index("apiVersion:") :])


def test_a_dry_run_prints_what_and_where_and_asks_nobody(run):
    done = run(f"--image={NEW}", "--run=abc", "--commit=def", "--dry-run", here=cluster_of(OWN["project"]))
    (predictor,) = manifest_of(done)["spec"]["predictors"]
    assert predictor["componentSpecs"][0]["spec"]["containers"][0]["image"] == NEW
    labels = predictor["componentSpecs"][0]["metadata"]["labels"]
    assert (labels["model/run"], labels["model/commit"]) == ("abc", "def")
    assert "to the context here" in done.stdout
    nowhere = run(f"--image={NEW}", "--run=abc", "--commit=def", "--dry-run")
    assert manifest_of(nowhere) == manifest_of(done) and "no current context" in nowhere.stdout


@pytest.mark.parametrize("traffic", [0, 25, 100])
def test_a_canary_is_put_beside_what_serves_with_its_share(run, traffic):
    done = run(
        "--overlay=canary", f"--image={NEW}", f"--main-image={OLD}", f"--traffic={traffic}", "--dry-run",
        here=cluster_of(OWN["project"]),
    )  # fmt: skip
    main, candidate = manifest_of(done)["spec"]["predictors"]
    images = [one["componentSpecs"][0]["spec"]["containers"][0]["image"] for one in (main, candidate)]
    assert images == [OLD, NEW] and [main["traffic"], candidate["traffic"]] == [100 - traffic, traffic]


@pytest.mark.parametrize("overlay", ["canary", "shadow", "ab-test", "bandit"])
def test_the_pods_of_each_model_are_labelled_with_its_own_run(tmp_path, monkeypatch, overlay):
    monkeypatch.setenv("DEPLOY_FOLDER", str(tmp_path))
    main, candidate = ({"image": image, "run": run, "commit": "c"} for image, run in ((OLD, "old"), (NEW, "new")))
    manifest = deploy.build(overlay, {"main": main, "candidate": candidate}, traffic=10)
    runs = {
        component["spec"]["containers"][0]["image"]: component["metadata"]["labels"]["model/run"]
        for predictor in manifest["spec"]["predictors"]
        for component in predictor["componentSpecs"]
        if component["metadata"]["labels"]["model/role"] != "router"
    }
    assert runs == {OLD: "old", NEW: "new"}
    assert deploy.main_of(manifest)["run"] == "old"


@pytest.mark.parametrize("overlay", ["shadow", "ab-test", "bandit"])
def test_an_overlay_gets_both_images_by_their_digests(run, overlay):
    done = run(
        f"--overlay={overlay}", f"--image={NEW}", f"--main-image={OLD}", "--dry-run", here=cluster_of(OWN["project"])
    )
    containers = {
        (number, container["name"]): container["image"]
        for number, predictor in enumerate(manifest_of(done)["spec"]["predictors"])
        for component in predictor["componentSpecs"]
        for container in component["spec"]["containers"]
    }
    assert containers[0, "classifier"] == OLD and NEW in containers.values()
    assert all(re.fullmatch(r".+@sha256:[0-9a-f]{64}", image) for image in containers.values())
    assert containers.get((0, "bandit"), OLD) == OLD  # the router runs from the model's own image


def served(image: str) -> dict:
    return {
        "apiVersion": "machinelearning.seldon.io/v1", "kind": "SeldonDeployment", "status": {"state": "Available"},
        "metadata": {"name": "reader", "namespace": "seldon", "resourceVersion": "7", "uid": "u"},
        "spec": {"predictors": [{"componentSpecs": [{"spec": {"containers": [{"name": "m", "image": image}]}}]}]},
    }  # fmt: skip


class World:
    """A rollout, one event at a time: Seldon's operator, the Deployment's controller, a kubelet, the API server.

    As the operator 1.17.1 does it (seldondeployment_controller.go): a reconciliation updates the Deployment and says
    Creating, or judges by the status of the Deployment, which may be of the generation before. An error of its own
    makes the state Failed until the next one.
    """

    def __init__(self, image: str, state: str, good: bool, events: list[str]) -> None:
        self.state, self.good, self.events, self.clock = state, good, iter(events), 1.0
        self.wanted = self.image = image  # of the SeldonDeployment, of its Deployment
        self.generation, self.pods, self.applied = 1, {image: True}, []  # the pods: image to whether it is available
        self.operator = self.reachable = True
        self.on_controller()

    def on_operator(self) -> None:
        if not self.operator:
            return
        if self.image != self.wanted:
            self.image, self.generation, self.state = self.wanted, self.generation + 1, "Creating"
        elif self.status["availableReplicas"] < self.status["replicas"]:
            self.state = "Creating" if self.status["availableReplicas"] else "Failed"
        else:
            self.state = "Available"

    def on_controller(self) -> None:
        self.pods.setdefault(self.image, False)
        if self.pods[self.image]:
            self.pods = {self.image: True}
        counts = {"replicas": len(self.pods), "updatedReplicas": 1, "availableReplicas": sum(self.pods.values())}
        self.status = {"observedGeneration": self.generation, **counts}

    def on_kubelet(self) -> None:
        self.pods = {image: there or image == OLD or self.good for image, there in self.pods.items()}

    def on_error(self) -> None:
        self.state = "Failed" if self.operator else self.state

    def on_switch(self) -> None:
        self.operator = not self.operator

    def on_outage(self) -> None:
        self.reachable = not self.reachable

    def on_nothing(self) -> None:
        pass

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        for _ in range(2):
            getattr(self, f"on_{next(self.events, 'nothing')}")()

    def apply(self, manifest: dict) -> None:
        (component,) = manifest["spec"]["predictors"][0]["componentSpecs"]
        self.wanted = component["spec"]["containers"][0]["image"]
        known = self.status["observedGeneration"] == self.generation and self.status["replicas"] == len(self.pods)
        self.applied.append((self.wanted, dict(self.pods) if known else {}))

    def troubles(self, name: str) -> str:
        return ""

    def look(self, manifest: dict) -> rollout.Look:
        if not self.reachable:
            raise UserError("kubectl: connection refused")
        containers = [{"name": "m", "image": self.image}, {"name": "seldon-container-engine", "image": "executor"}]
        spec = {"replicas": 1, "template": {"spec": {"containers": containers}}}
        made = {"metadata": {"generation": self.generation}, "spec": spec, "status": self.status}
        return rollout.Look(self.state, None, rollout.rolled_out(manifest, [made]))


def rolled_out_in(world: World, capsys) -> str:
    """Return what deploy says of a rollout."""
    clock = SimpleNamespace(monotonic=lambda: world.clock, sleep=world.sleep)
    with mock.patch.object(rollout, "time", clock), contextlib.suppress(UserError):
        deploy.roll_out(world, served(NEW), served(OLD), timeout=90)
    return capsys.readouterr().out


EVENTS = ["operator", "controller", "kubelet", "error", "switch", "outage", "nothing"]


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    image=st.sampled_from([OLD, NEW]), state=st.sampled_from(["Available", "Creating", "Failed", ""]),
    good=st.booleans(), events=st.lists(st.sampled_from(EVENTS), max_size=70),
)  # fmt: skip
def test_deploy_is_never_wrong_about_what_serves(capsys, image, state, good, events):
    world = World(image, state, good, events)
    said = rolled_out_in(world, capsys)
    if "serves" in said:
        assert set(world.pods) == {NEW} and len(world.applied) == 1, "it says so while another image serves"
    if len(world.applied) > 1:
        assert world.applied[1] != (OLD, {NEW: True}), "it put the old one back while the new one served"


HEALTHY = ["operator", "controller", "kubelet", "controller", "operator"]


@pytest.mark.parametrize("state", ["Available", "Creating", "Failed", ""])
@pytest.mark.parametrize("trouble", [[], ["error"], ["outage"] * 2, ["switch"] * 2, ["nothing"] * 10], ids=str)
def test_what_gets_there_is_said_to_serve_whatever_the_state_was(capsys, state, trouble):
    for place in range(len(HEALTHY)):
        world = World(OLD, state, True, [*HEALTHY[:place], *trouble, *HEALTHY[place:]])
        assert "make predict" in rolled_out_in(world, capsys), (place, world.applied)


@pytest.mark.parametrize("events", [[], ["operator", "controller", "operator"] * 9, ["switch"]], ids=str)
def test_what_does_not_get_there_gives_way_to_what_served(capsys, events):
    world = World(OLD, "Available", False, events)
    assert "serves" not in rolled_out_in(world, capsys)
    assert [image for image, _ in world.applied] == [NEW, OLD]


def test_pods_that_run_while_seldon_says_failed_are_left_as_they_are(capsys):
    world = World(OLD, "Available", True, ["operator", "controller", "kubelet", "controller", "error", "switch"])
    assert rolled_out_in(world, capsys) == "" and len(world.applied) == 1


def test_what_is_put_back_is_what_was_there_without_what_the_cluster_wrote():
    back = deploy.restorable(served(OLD))
    assert back["spec"] == served(OLD)["spec"]
    assert "status" not in back and back["metadata"] == {"name": "reader", "namespace": "seldon"}


def test_a_first_deployment_that_does_not_get_ready_is_left_to_be_looked_at():
    world = World(OLD, "Failed", False, [])
    clock = SimpleNamespace(monotonic=lambda: world.clock, sleep=world.sleep)
    with mock.patch.object(rollout, "time", clock), pytest.raises(UserError, match="the first"):
        deploy.roll_out(world, served(NEW), None, timeout=90)
    assert len(world.applied) == 1


def test_a_candidate_needs_something_that_serves_already():
    with pytest.raises(UserError, match="make deploy"):
        deploy.main_of(None)
