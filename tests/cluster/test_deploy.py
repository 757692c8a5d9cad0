"""`mlops.platform.deploy` on a real API server, as the account of the workflow's last step.

Seldon's operator is not here: a script writes what it writes (status.state, a Deployment and its status), in orders in
which it was seen to. tests/machinery/test_seldon_rollout.py holds the same wait to a thousand orders drawn at random.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from .conftest import SELDON, Cluster, manifests, templates, until

PREFIX = "asia.gcr.io/my-gcp-project/digit-reader"  # of the default answers
OLD, NEW, OTHER = (f"{PREFIX}/model@sha256:{digit * 64}" for digit in "abc")
NAMESPACE = "--namespace=seldon"
# The program as it is, but for how often it looks and how long Seldon must go on saying Failed
PROGRAM = "from mlops.platform import deploy, rollout; rollout.PAUSE, rollout.SETTLED = 0.2, {}; deploy.main()"
HEALTHY = ["state Creating", f"deployment {NEW}", "roll out", "state Available"]


class Operator:
    """Stand in for Seldon's operator and the Deployment's controller; write one word of a story at a time."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name

    def do(self, word: str) -> None:
        action, _, value = word.partition(" ")
        getattr(self, f"do_{action}")(value)

    def do_state(self, value: str) -> None:
        patch = json.dumps({"status": {"state": value}})
        words = ("--subresource=status", "--type=merge", f"--patch={patch}")
        self.cluster("patch", f"seldondeployments.{SELDON}", self.name, NAMESPACE, *words)

    def do_deployment(self, image: str) -> None:
        labels = {"seldon-deployment-id": self.name}
        containers = [{"name": "classifier", "image": image}, {"name": "seldon-container-engine", "image": "executor"}]
        self.cluster.apply([{
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": f"{self.name}-main-0-classifier", "namespace": "seldon", "labels": labels},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}},
        }])  # fmt: skip

    def do_roll(self, _: str) -> None:
        name = f"{self.name}-main-0-classifier"
        generation = self.cluster.get("deployment", name, NAMESPACE)["metadata"]["generation"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2)
        patch = json.dumps({"status": {"observedGeneration": generation, **counts}})
        self.cluster("patch", "deployment", name, NAMESPACE, "--subresource=status", f"--patch={patch}")

    def do_another(self, image: str) -> None:
        """Deploy as somebody else."""
        path = "/spec/predictors/0/componentSpecs/0/spec/containers/0/image"
        patch = json.dumps([{"op": "replace", "path": path, "value": image}])
        self.cluster("patch", f"seldondeployments.{SELDON}", self.name, NAMESPACE, "--type=json", f"--patch={patch}")

    def do_wait(self, seconds: str) -> None:
        time.sleep(float(seconds))


@pytest.fixture
def deployed(own_cluster, installed) -> dict:
    """The SeldonDeployment of the repository, serving an old image."""
    item = next(item for item in manifests(installed) if item["kind"] == "SeldonDeployment")
    item["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["image"] = OLD
    own_cluster("apply", "--filename=-", text=json.dumps(item))
    operator = Operator(own_cluster, item["metadata"]["name"])
    for word in (f"deployment {OLD}", "roll out", "state Available"):
        operator.do(word)
    return item


@pytest.fixture
def as_the_last_step(own_cluster, installed, tmp_path) -> Path:
    """A KUBECONFIG that acts as the account of the step that deploys."""
    ((item, step),) = [one for one in templates(installed) if "mlops.platform.deploy" in one[1]["container"]["command"]]
    account = step.get("serviceAccountName", item["spec"]["serviceAccountName"])
    config = json.loads(own_cluster.kubeconfig.read_text())
    config["users"][0]["user"]["as"] = f"system:serviceaccount:{item['metadata']['namespace']}:{account}"
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def image_of(cluster: Cluster, name: str) -> str:
    spec = cluster.get(f"seldondeployments.{SELDON}", name, NAMESPACE)["spec"]
    return spec["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["image"]


SERVES, BACK, LEFT, ALONE = "serves. Ask it", "before was put back", "It is left as it is", "Nothing was put back"
# Seconds: in all, and while Seldon says Failed
PATIENCE = {SERVES: (120, 30), BACK: (10, 3), LEFT: (30, 30), ALONE: (120, 30)}
STORIES = {
    "all goes well": (HEALTHY, SERVES, NEW),
    "no operator is there, and the state is still the old one's": ([], BACK, OLD),
    "Available comes before the Deployment has rolled out": (
        [*HEALTHY[:2], "state Available", "wait 3", "state Creating", *HEALTHY[2:]], SERVES, NEW,
    ),
    "the Failed of before is there until the operator looks": (["state Failed", "wait 1", *HEALTHY], SERVES, NEW),
    "Seldon gets over an error of its own": ([*HEALTHY[:2], "state Failed", "wait 1", *HEALTHY[2:]], SERVES, NEW),
    "the new image never gets ready": (HEALTHY[:2], BACK, OLD),
    "Seldon goes on saying Failed": (["state Failed", "wait 4"], BACK, OLD),
    "somebody else deploys meanwhile": ([*HEALTHY[:2], f"another {OTHER}"], ALONE, OTHER),
    "Seldon fails for good with the new pods running": ([*HEALTHY[:3], "state Failed"], LEFT, NEW),
}  # fmt: skip


@pytest.fixture
def deploy(own_cluster, installed, as_the_last_step, tmp_path):
    """Run the program of the last step with the new image."""

    def run(timeout: int, settled: int) -> subprocess.CompletedProcess:
        environment = os.environ | {
            "PYTHONPATH": str(installed / "src"), "KUBECONFIG": str(as_the_last_step), "HOME": str(tmp_path),
        }  # fmt: skip
        words = ("--in-cluster", "--yes", f"--image={NEW}", f"--timeout={timeout}")
        return subprocess.run(
            [sys.executable, "-c", PROGRAM.format(settled), *words],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("story", STORIES)
def test_deploy_says_what_serves(own_cluster, deployed, deploy, story):
    words, said, image = STORIES[story]
    name = deployed["metadata"]["name"]

    def play() -> None:
        until(lambda: image_of(own_cluster, name) == NEW, 60, "nothing was applied")
        for word in words:
            Operator(own_cluster, name).do(word)

    operator = threading.Thread(target=play)
    operator.start()
    done = deploy(*PATIENCE[said])
    operator.join()
    assert said in done.stdout + done.stderr, done.stdout + done.stderr
    assert (done.returncode == 0) == (said == SERVES)
    assert image_of(own_cluster, name) == image


def test_deploy_says_why_the_pods_do_not_run(own_cluster, deployed, deploy):
    full = "pods are forbidden: exceeded quota: quota."
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": full}
    patch = json.dumps({"status": {"conditions": [failed]}})
    name = f"{deployed['metadata']['name']}-main-0-classifier"
    own_cluster("patch", "deployment", name, NAMESPACE, "--subresource=status", f"--patch={patch}")
    done = deploy(timeout=3, settled=3)
    assert done.returncode == 1 and f"{full} What was deployed" in done.stderr, done.stderr


def test_who_may_not_look_changes_nothing(own_cluster, deployed, deploy, as_the_last_step):
    half = f"--resource=seldondeployments.{SELDON}"
    own_cluster("create", "role", "half", NAMESPACE, "--verb=get,patch,create", half)
    own_cluster("create", "rolebinding", "half", NAMESPACE, "--role=half", "--user=half")
    config = json.loads(as_the_last_step.read_text())
    config["users"][0]["user"]["as"] = "half"
    as_the_last_step.write_text(json.dumps(config))
    done = deploy(timeout=5, settled=5)
    assert done.returncode == 1 and "cannot list" in done.stderr, done.stdout + done.stderr
    assert image_of(own_cluster, deployed["metadata"]["name"]) == OLD


def test_an_image_that_served_before_keeps_its_run_and_commit(own_cluster, deployed, installed):
    name, labels = deployed["metadata"]["name"], {"model/run": "r1", "model/commit": "c1"}
    selector = {"seldon-deployment-id": name}
    own_cluster.apply([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": f"{name}-of-before", "namespace": "seldon", "labels": selector},
        "spec": {"replicas": 0, "selector": {"matchLabels": selector}, "template": {
            "metadata": {"labels": selector | labels},
            "spec": {"containers": [{"name": "classifier", "image": NEW}]},
        }},
    }])  # fmt: skip
    program = "import sys; from mlops.platform.deploy import Cluster; print(Cluster(None).origin(*sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(installed / "src"), "KUBECONFIG": str(own_cluster.kubeconfig)}
    said = [
        subprocess.run([sys.executable, "-c", program, name, image], env=environment, check=True, stdout=-1).stdout
        for image in (NEW, OLD)
    ]
    assert said == [b"{'run': 'r1', 'commit': 'c1'}\n", b"{}\n"]
