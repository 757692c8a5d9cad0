"""A cluster with a node, KUBECONFIG_FOR_TESTS, on which `make cluster` of TEAM_REPOSITORY has put everything.

PROJECT_FOR_TESTS is the Polyaxon project whose best run is packaged; RUN_FOR_TESTS is another run of it, if there is
one. What these tests deploy stays there.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import SELDON, Cluster, documents, until

PACKAGING, SERVING = "--namespace=model-packaging", "--namespace=seldon"
ENDS = 1800  # seconds for a workflow


class Workflow:
    """A packaging workflow that was submitted."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name

    @property
    def status(self) -> dict:
        return self.cluster.get("workflow", self.name, PACKAGING).get("status", {})

    def tries(self, step: str) -> list[dict]:
        """Return the pods that a step had, each as Argo's node of it, oldest first."""
        nodes = [node for node in self.status.get("nodes", {}).values() if node["type"] == "Pod"]
        return sorted((node for node in nodes if node["templateName"] == step), key=lambda node: node["startedAt"])

    def wait_for(self, step: str) -> None:
        """Wait until a step's container runs."""

        def runs() -> bool:
            assert not self.status.get("finishedAt"), self.status
            return any(node["phase"] == "Running" for node in self.tries(step))

        until(runs, ENDS, f"{step} does not run", pause=1)

    def output(self, step: str, name: str) -> str:
        parameters = self.tries(step)[-1]["outputs"]["parameters"]
        return next(one["value"] for one in parameters if one["name"] == name)

    def end(self) -> str:
        """Wait for its end; return its phase."""
        until(lambda: self.status.get("finishedAt"), ENDS, f"{self.name} has not ended", pause=5)
        return self.status["phase"]

    def retry(self) -> None:
        environment = os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig)}
        subprocess.run(["argo", "retry", PACKAGING, self.name], env=environment, check=True, capture_output=True)
        until(lambda: not self.status.get("finishedAt"), 60, "it was not retried")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(os.environ["TEAM_REPOSITORY"])


@pytest.fixture(scope="session")
def submit(cluster, repository) -> Callable[..., Workflow]:
    (workflow,) = [item for item in documents(repository / "aisg-context/argo") if item["kind"] == "Workflow"]
    project = os.environ.get("PROJECT_FOR_TESTS", f"{repository.name}-try")  # the one of `make cluster`

    def run(**parameters: str) -> Workflow:
        given = [{"name": name, "value": value} for name, value in {"project": project, **parameters}.items()]
        made = cluster.create(workflow | {"spec": workflow["spec"] | {"arguments": {"parameters": given}}})
        return Workflow(cluster, made["metadata"]["name"])

    return run


@pytest.fixture(scope="session")
def packaged(submit) -> Workflow:
    """The workflow of the best run, at its end."""
    workflow = submit()
    workflow.end()
    return workflow


@pytest.fixture(scope="session")
def interrupted(cluster, submit) -> Workflow:
    """The workflow of RUN_FOR_TESTS, or of the best run again, at its end: Argo's controller was killed meanwhile."""
    workflow = submit(run=os.environ.get("RUN_FOR_TESTS", ""))
    workflow.wait_for("build-push")
    cluster("delete", "pods", "--all", "--namespace=argo", "--grace-period=0", "--force")
    workflow.end()
    return workflow


def deployed(cluster: Cluster) -> dict:
    """Return the one SeldonDeployment."""
    (item,) = cluster.get(f"seldondeployments.{SELDON}", SERVING)["items"]
    return item


def main_component(cluster: Cluster) -> dict:
    """Return the component of the model that answers."""
    return deployed(cluster)["spec"]["predictors"][0]["componentSpecs"][0]


def main_image(cluster: Cluster) -> str:
    return main_component(cluster)["spec"]["containers"][0]["image"]
