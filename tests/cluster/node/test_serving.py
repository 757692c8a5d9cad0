"""What is deployed answers, and goes on answering while another image takes its place."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..conftest import Cluster, templates, until
from .conftest import SERVING, deployed, main_component, main_image

CALLER = Path(__file__).with_name("caller.py")
PLACE = "--namespace=polyaxon-v1"  # where callers are allowed
REQUESTS = 20000


@pytest.fixture(scope="module")
def images(packaged, interrupted) -> list[str]:
    """Two images of models, by their digests."""
    return [workflow.output("build-push", "image") for workflow in (packaged, interrupted)]


@pytest.fixture
def deploy(cluster, repository) -> Callable[..., str]:
    """Run the program of `make deploy` on the cluster."""

    def run(*words: str, code: int = 0) -> str:
        environment = os.environ | {"PYTHONPATH": str(repository / "src"), "KUBECONFIG": str(cluster.kubeconfig)}
        command = [sys.executable, "-m", "mlops.platform.deploy", "--in-cluster", "--yes", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def start_caller(cluster: Cluster, image: str) -> None:
    """Start the callers of the main model in a pod of an image that has Python."""
    name = f"{deployed(cluster)['metadata']['name']}-main"
    (port,) = [one["port"] for one in cluster.get("service", name, SERVING)["spec"]["ports"] if one["name"] == "http"]
    container = {
        "name": "caller", "image": image, "command": ["python", "-c", CALLER.read_text(encoding="utf-8")],
        "args": [f"http://{name}.seldon:{port}/api/v1.0/predictions"],
    }  # fmt: skip
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller", "namespace": "polyaxon-v1"}}
    cluster.create(pod | {"spec": {"restartPolicy": "Never", "containers": [container]}})
    cluster("wait", "--for=condition=Ready", "pod/caller", PLACE, "--timeout=120s")


@pytest.fixture
def asked(cluster, repository):
    """While the block lasts, four callers ask; the dictionary gets what they got."""
    (image,) = {step["container"]["image"] for _, step in templates(repository) if step["name"] == "deploy"}

    @contextmanager
    def ask() -> Iterator[dict]:
        got: dict = {}
        cluster("delete", "pod", "caller", PLACE, "--ignore-not-found")
        start_caller(cluster, image)
        yield got
        cluster("exec", "caller", PLACE, "--", "touch", "/tmp/stop")
        cluster("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/caller", PLACE, "--timeout=60s")
        got |= json.loads(cluster("logs", "caller", PLACE).stdout)
        print(got)  # the figures: ARGS=-rP

    yield ask
    cluster("delete", "pod", "caller", PLACE, "--ignore-not-found")


def test_a_rollout_loses_no_request(cluster, images, deploy, asked):
    # given the one model, which four callers ask all the time
    deploy(f"--image={images[0]}", "--run=first")
    sent = 0
    while sent < REQUESTS:
        with asked() as got:
            # when the other takes its place, and it the other's
            deploy(f"--image={images[1]}", "--run=second")
            deploy(f"--image={images[0]}", "--run=first")
        # then nobody was refused
        assert not got["lost"], got
        sent += sum(got["answered"].values())


@pytest.mark.parametrize("overlay", ["canary", "shadow", "ab-test", "bandit"])
def test_a_candidate_stands_beside_the_model(cluster, images, deploy, asked, overlay):
    deploy(f"--image={images[0]}")
    deploy(f"--overlay={overlay}", f"--image={images[1]}")
    assert all(image in json.dumps(deployed(cluster)["spec"]) for image in images)
    with asked() as got:
        time.sleep(5)
    assert got["answered"] and not got["lost"], got
    if overlay in ("ab-test", "bandit"):  # Seldon's executor chooses; of the other two, Istio's gateway would
        ways = {answer.split()[-1] for answer in got["answered"]}
        assert ways == {f"{overlay}=0", f"{overlay}=1"}, got
    deploy(f"--image={images[0]}")


def test_an_image_that_cannot_be_pulled_gives_way(cluster, images, deploy):
    deploy(f"--image={images[0]}")
    nowhere = f"{images[0].partition('@')[0]}@sha256:{'0' * 64}"
    said = deploy(f"--image={nowhere}", "--timeout=60", code=1)
    assert "ImagePull" in said and "was put back" in said, said
    assert main_image(cluster) == images[0]
    until(lambda: deployed(cluster)["status"]["state"] == "Available", 120, "what was put back does not serve")


def test_without_seldons_operator_nothing_changes(cluster, images, deploy):
    deploy(f"--image={images[0]}")
    operator = ("deployment/seldon-controller-manager", "--namespace=seldon-system")
    cluster("scale", *operator, "--replicas=0")
    try:
        cluster("delete", "pods", "--all", "--namespace=seldon-system")  # returns when they are gone
        said = deploy(f"--image={images[1]}", "--timeout=60", code=1)
    finally:
        cluster("scale", *operator, "--replicas=1")
        cluster("rollout", "status", *operator, "--timeout=120s")
    assert "serves. Ask it" not in said
    assert main_image(cluster) == images[0]


def test_going_back_by_the_image_keeps_the_labels(cluster, images, deploy):
    deploy(f"--image={images[1]}", "--run=the-other", "--commit=c1")
    deploy(f"--image={images[0]}", "--run=the-best", "--commit=c2")
    deploy(f"--image={images[1]}")
    labels = main_component(cluster)["metadata"]["labels"]
    assert (labels["model/run"], labels["model/commit"]) == ("the-other", "c1")


def test_the_metrics_are_where_the_pods_say(cluster, images, deploy):
    deploy(f"--image={images[0]}")
    pod = cluster.get("pods", SERVING, "--selector=model/role=main")["items"][0]["metadata"]
    port, path = (pod["annotations"][f"prometheus.io/{name}"] for name in ("port", "path"))
    page = cluster("get", "--raw", f"/api/v1/namespaces/seldon/pods/{pod['name']}:{port}/proxy{path}").stdout
    assert "# TYPE" in page
