"""`make deploy` is never wrong about what serves, and puts back what served before.

Its wait is held to sequences of what a cluster does, drawn at random.
"""

import contextlib
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlops.errors import UserError
from mlops.platform import deploy, rollout

OLD, NEW = (f"registry/model@sha256:{digit * 64}" for digit in "ab")


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
