"""The check of Seldon's files: every folder that kustomize builds, as the operator would get it.

rules.yml holds the schema and most rules of the operator's; here are those that compare one place with another.
"""

from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from .check_kubernetes import Fault, faults, findings, pod_faults
from .deploy import kubectl

SELDON = Path("aisg-context/seldon")
# The ports that the operator gives every container; their numbers depend on its place
PORTS = [{"name": "http", "containerPort": 9000}, {"name": "grpc", "containerPort": 9500}]
Placed = tuple[str, dict]  # a field, and what is there


def check_seldon(root: Path, stages: click.Group) -> Iterator[str]:
    """Check the base, and each overlay; what is wrong in the base is told once."""
    told: set[Fault] = set()
    overlays = sorted(path.parent.relative_to(root) for path in (root / SELDON).glob("*/*/kustomization.yml"))
    for folder in (SELDON / "base", *overlays):
        built = kubectl("kustomize", str(root / folder))
        blamed = folder / ("deployment.yml" if folder.name == "base" and not built.returncode else "kustomization.yml")
        if built.returncode:
            yield from findings(blamed, [("", " ".join(built.stderr.replace(str(root), ".").split()))])
        for manifest in yaml.safe_load_all(built.stdout):
            found = [fault for fault in _faults(root, manifest, stages) if fault not in told]
            told.update(found)
            yield from findings(blamed, found)


def _faults(root: Path, manifest: dict, stages: click.Group) -> Iterator[Fault]:
    wrong = list(faults(manifest, "rules.yml#/SeldonDeployment"))
    yield from wrong
    if wrong:
        return  # what it compares can be read only from a valid one
    spec = manifest["spec"]
    predictors, transport = _numbered("spec.predictors", spec["predictors"]), spec.get("transport", "rest").upper()
    shares = [one.get("traffic", 0) for _, one in predictors if not one.get("shadow")]
    if sum(shares) != 100 and (len(shares) > 1 or sum(shares)):  # one alone may leave it out
        yield "spec.predictors", f"the traffic of those that are not a shadow adds up to {sum(shares)}, not 100"
    for place, predictor in predictors:
        for field, message in _predictor_faults(root, predictor, transport, stages):
            yield f"{place}.{field}", message


def _predictor_faults(root: Path, predictor: dict, transport: str, stages: click.Group) -> Iterator[Fault]:
    components = _numbered("componentSpecs", predictor.get("componentSpecs", []))
    containers = [
        item for field, one in components for item in _numbered(f"{field}.spec.containers", one["spec"]["containers"])
    ]
    yield from _graph_faults(_nodes(predictor["graph"], "graph"), containers, transport)
    for field, component in components:
        opened = [{**one, "ports": [*one["ports"], *PORTS]} for one in component["spec"]["containers"]]
        pod = {**component["spec"], "containers": opened}
        wrong = [(f"{field}.spec.{inner}", message) for inner, message in pod_faults(root, pod, stages)]
        yield from wrong or _component_faults(component, predictor.get("svcOrchSpec", {}), field)


def _graph_faults(nodes: list[Placed], containers: list[Placed], transport: str) -> Iterator[Fault]:
    """Yield where nodes and containers do not have each other's names, and what a node says wrongly of the others."""
    called, there = [node["name"] for _, node in nodes], [container["name"] for _, container in containers]
    for field, container in containers:
        if container["name"] not in called:
            yield f"{field}.name", f"the graph has no node {container['name']}: it gets no requests"
        if there.count(container["name"]) > 1:
            yield f"{field}.name", f"{container['name']} is used twice"
    for field, node in nodes:
        if "implementation" not in node and node["name"] not in there:
            yield f"{field}.name", f"no container is called {node['name']}; there are {', '.join(map(str, there))}"
        if called.count(node["name"]) > 1:
            yield f"{field}.name", f"{node['name']} is used twice"
        count = len(node.get("children", []))
        for item in node.get("parameters", []):
            if item["name"] == "n_branches" and item["value"] != str(count):
                yield f"{field}.parameters", f"n_branches is {item['value']}, and there are {count} children"
        kind = node.get("endpoint", {}).get("type", transport)
        if kind != transport:
            yield f"{field}.endpoint.type", f"{kind}, and the deployment's transport is {transport}"


def _component_faults(component: dict, orchestrator: dict, field: str) -> Iterator[Fault]:
    containers = _numbered(f"{field}.spec.containers", component["spec"]["containers"])
    scraped = component.get("metadata", {}).get("annotations", {}).get("prometheus.io/port")
    for place, container in containers:
        port = next(port["containerPort"] for port in container["ports"] if port.get("name") == "metrics")
        if scraped and str(port) != scraped:
            yield f"{place}.ports", f"metrics is {port}, and prometheus.io/port says {scraped}"
    scale = component.get("hpaSpec", {"maxReplicas": 1})
    if scale.get("minReplicas", 1) > scale["maxReplicas"]:
        yield f"{field}.hpaSpec", f"minReplicas {scale['minReplicas']} is more than maxReplicas {scale['maxReplicas']}"
    # A share of what is asked for, as autoscaling counts it, needs every container of the pod to ask.
    metrics = [item.get("resource", {}) for item in scale.get("metricsv2", [])]
    needed = {item["name"] for item in metrics if "averageUtilization" in item.get("target", {})}
    if orchestrator.get("resources"):  # without, Seldon asks for some itself
        containers.append(("svcOrchSpec", orchestrator))
    for place, one in containers:
        for name in sorted(needed - one.get("resources", {}).get("requests", {}).keys()):
            yield f"{place}.resources.requests", f"no {name}: autoscaling counts a share of what is requested"


def _numbered(field: str, items: list[dict]) -> list[Placed]:
    return [(f"{field}.{number}", item) for number, item in enumerate(items)]


def _nodes(node: dict, field: str) -> list[Placed]:
    children = _numbered(f"{field}.children", node.get("children", []))
    return [(field, node), *(item for place, child in children for item in _nodes(child, place))]
