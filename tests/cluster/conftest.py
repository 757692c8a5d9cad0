"""The cluster of these tests: one that is started from CLUSTER_CACHE, or yours, by KUBECONFIG_FOR_TESTS.

What they apply to yours stays there: accounts, roles and templates, in the namespaces that the manifests name.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from . import server

SELDON = "machinelearning.seldon.io"


class Cluster:
    """kubectl as the cluster's administrator, or as somebody else."""

    def __init__(self, kubeconfig: Path, own: bool) -> None:
        self.kubeconfig, self.own = kubeconfig, own  # own: nobody but these tests and Argo's controller acts on it

    def __call__(self, *words: str, **options) -> subprocess.CompletedProcess:
        return server.kubectl(self.kubeconfig, *words, **options)

    def get(self, *words: str) -> dict:
        return json.loads(self("get", *words, "--output=json").stdout)

    def may(self, account: str, verb: str, resource: str, namespace: str) -> bool:
        words = ("auth", "can-i", verb, resource, f"--namespace={namespace}", f"--as={account}")
        return self(*words, check=False).stdout.strip() == "yes"

    def namespaces_of(self, documents: Iterable[dict]) -> None:
        """Make the namespaces that are named and not there."""
        there = {item["metadata"]["name"] for item in self.get("namespaces")["items"]}
        for name in sorted({item["metadata"].get("namespace", "default") for item in documents} - there):
            self("create", "namespace", name)

    def apply(self, documents: Iterable[dict], *words: str, **options) -> subprocess.CompletedProcess:
        """Apply manifests on the server's side, with unknown and repeated fields refused."""
        flags = ("--server-side", "--force-conflicts", "--validate=strict", "--filename=-")
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
        return self("apply", *flags, *words, text=text, **options)

    def create(self, document: dict, *words: str, **options) -> dict:
        flags = ("--validate=strict", "--filename=-", "--output=json", *words)
        return json.loads(self("create", *flags, text=json.dumps(document), **options).stdout)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    given = os.environ.get("KUBECONFIG_FOR_TESTS")
    if given:
        yield Cluster(Path(given).absolute(), own=False)
        return
    with server.running(Path(os.environ["CLUSTER_CACHE"])) as kubeconfig:
        yield Cluster(kubeconfig, own=True)


@pytest.fixture(scope="session")
def own_cluster(cluster) -> Cluster:
    """A cluster where these tests do what a kubelet, a Deployment's controller or Seldon's operator would do."""
    if not cluster.own:
        pytest.skip("NOT CHECKED: on a cluster with a node, its own controllers write what this test writes")
    return cluster


@pytest.fixture(scope="module")
def fresh_kubeconfig() -> Iterator[Path]:
    """A cluster of a test file's own: what it applies stays there, quotas and volumes among it."""
    if "CLUSTER_CACHE" not in os.environ:
        pytest.skip("NOT CHECKED: on a cluster with a node, its own controllers write what this test writes")
    with server.running(Path(os.environ["CLUSTER_CACHE"])) as started:
        yield started


def documents(folder: Path) -> list[dict]:
    """Return the manifests in the files of a folder."""
    read = (yaml.safe_load_all(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.yml")))
    return [item for file in read for item in file if item and {"apiVersion", "kind"} <= item.keys()]


def manifests(repository: Path) -> list[dict]:
    """Return what a repository has for the API server: its files, and each of its kustomizations as it is built."""
    context = repository / "aisg-context"
    found = documents(context / "k8s") + documents(context / "argo")
    for path in sorted(context.rglob("kustomization.yml")):
        built = subprocess.run(["kubectl", "kustomize", path.parent], check=True, capture_output=True, text=True)
        found += yaml.safe_load_all(built.stdout)
    return found


def templates(repository: Path) -> list[tuple[dict, dict]]:
    """Return each step of each workflow template that runs something, with its template's metadata and spec."""
    found = [item for item in documents(repository / "aisg-context/argo") if item["kind"] == "WorkflowTemplate"]
    return [(item, step) for item in found for step in item["spec"]["templates"] if "container" in step]


def until(look, seconds: float, what: str, pause: float = 0.3):
    """Return the first truth that `look` gives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"{what} after {seconds} s")


@pytest.fixture(scope="session")
def installed(bake, cluster) -> Path:
    """A repository whose accounts, roles and workflow templates are in the cluster."""
    repository = bake()
    found = manifests(repository)
    cluster.namespaces_of(found)
    kinds = ("ServiceAccount", "Role", "RoleBinding", "WorkflowTemplate")
    cluster.apply(item for item in found if item["kind"] in kinds)
    return repository
