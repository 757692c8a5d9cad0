"""The check of Seldon's files: every folder that kustomize builds, as the operator would get it.

rules.yml holds the schema and most rules of the operator's; here are those that compare one place with another.
"""

from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from .deploy import kubectl
from .manifests import Fault, Finding, faults, pod_faults

SELDON = Path("aisg-context/seldon")
# The ports that the operator gives every container; their numbers depend on its place
PORTS = [{"name": "http", "containerPort": 9000}, {"name": "grpc", "containerPort": 9500}]


def check_seldon(root: Path, stages: click.Group) -> Iterator[Finding]:
    """The base, and each overlay; what is wrong in the base is told once."""
    told = set()
    overlays = sorted(path.parent.relative_to(root) for path in (root / SELDON).glob("*/*/kustomization.yml"))
    for folder in (SELDON / "base", *overlays):
        built = kubectl("kustomize", str(root / folder))
        blamed = folder / ("deployment.yml" if folder.name == "base" and not built.returncode else "kustomization.yml")
        if built.returncode:
            yield Finding(blamed, "", " ".join(built.stderr.replace(str(root), ".").split()))
        for manifest in yaml.safe_load_all(built.stdout):
            for fault in _faults(root, manifest, stages):
                if fault not in told:
                    told.add(fault)
                    yield Finding(blamed, *fault)


def _faults(root: Path, manifest: dict, stages: click.Group) -> Iterator[Fault]:
    wrong = list(faults(manifest, "rules.yml#/SeldonDeployment"))
    yield from wrong
    if wrong:
        return  # what it compares can be read only from a valid one
    spec = manifest["spec"]
    yield from _shares(spec["predictors"])
    yield from _budgets(spec["predictors"])
    for number, predictor in enumerate(spec["predictors"]):
        field = f"spec.predictors.{number}"
        if predictor["name"] in [other["name"] for other in spec["predictors"][:number]]:
            yield f"{field}.name", f"{predictor['name']} is the name of another predictor too"
        for place, message in _graph(predictor, spec.get("transport", "rest")):
            yield f"{field}.{place}", message
        for count, component in enumerate(predictor.get("componentSpecs", [])):
            here = f"{field}.componentSpecs.{count}"
            containers = [{**one, "ports": [*one["ports"], *PORTS]} for one in component["spec"]["containers"]]
            pod = {**component["spec"], "containers": containers}
            wrong = [(f"{here}.spec.{inner}", message) for inner, message in pod_faults(root, pod, stages)]
            yield from wrong or _component(component, predictor.get("svcOrchSpec", {}), here)


def _shares(predictors: list[dict]) -> Iterator[Fault]:
    """The traffic of the predictors that are no shadow makes 100; one alone may leave it out."""
    shown = {number: one for number, one in enumerate(predictors) if not one.get("shadow")}
    for number, predictor in shown.items():
        if len(shown) > 1 and "traffic" not in predictor:
            yield f"spec.predictors.{number}.traffic", "there is none, and this is no shadow: nobody would ask it"
    total = sum(one.get("traffic", 0) for one in shown.values())
    if total != 100 and (len(shown) > 1 or total):
        yield "spec.predictors", f"the traffic of those that are no shadow makes {total}, not 100"


def _budgets(predictors: list[dict]) -> Iterator[Fault]:
    fields = [
        f"spec.predictors.{number}.componentSpecs.{place}.pdbSpec"
        for number, predictor in enumerate(predictors)
        for place, component in enumerate(predictor.get("componentSpecs", []))
        if "pdbSpec" in component
    ]
    for field in fields[1:]:
        yield (
            field,
            "Seldon's budgets are each for all pods of the deployment, and Kubernetes moves no pod that has two: "
            "one is enough",
        )


def _graph(predictor: dict, transport: str) -> Iterator[Fault]:
    """Nodes and containers have each other's names; a router knows its children; one transport for all."""
    nodes = list(_nodes(predictor["graph"], "graph"))
    called = [(field, node["name"]) for field, node in nodes]
    containers = [
        (f"componentSpecs.{number}.spec.containers.{place}", container["name"])
        for number, component in enumerate(predictor.get("componentSpecs", []))
        for place, container in enumerate(component["spec"]["containers"])
    ]
    for items in (called, containers):
        for number, (field, name) in enumerate(items):
            if name in [other for _, other in items[:number]]:
                yield f"{field}.name", f"{name} is the name of another one too"
    there = [name for _, name in containers]
    for field, node in nodes:
        if "implementation" not in node and node["name"] not in there:
            yield f"{field}.name", f"no container is called {node['name']}; there are {', '.join(there)}"
    for field, name in containers:
        if name not in [node["name"] for _, node in nodes]:
            yield f"{field}.name", f"the graph has no node {name}: nothing would ask it"
    for field, node in nodes:
        count = len(node.get("children", []))
        for item in node.get("parameters", []):
            if item["name"] == "n_branches" and item["value"] != str(count):
                yield f"{field}.parameters", f"n_branches is {item['value']}, and there are {count} children"
        kind = node.get("endpoint", {}).get("type", transport.upper())
        if kind != transport.upper():
            yield f"{field}.endpoint.type", f"{kind}, and the deployment's transport is {transport}"


def _nodes(node: dict, field: str) -> Iterator[tuple[str, dict]]:
    yield field, node
    for number, child in enumerate(node.get("children", [])):
        yield from _nodes(child, f"{field}.children.{number}")


def _component(component: dict, orchestrator: dict, field: str) -> Iterator[Fault]:
    scale, annotations = component.get("hpaSpec", {}), component.get("metadata", {}).get("annotations", {})
    if scale and scale.get("minReplicas", 1) > scale["maxReplicas"]:
        yield f"{field}.hpaSpec", f"from {scale.get('minReplicas')} to {scale['maxReplicas']} replicas"
    scraped = annotations.get("prometheus.io/port")
    for number, container in enumerate(component["spec"]["containers"]):
        port = next(port["containerPort"] for port in container["ports"] if port.get("name") == "metrics")
        if scraped and str(port) != scraped:
            yield f"{field}.spec.containers.{number}.ports", f"metrics is {port}, and prometheus.io/port says {scraped}"
    # A share of what is asked for, as autoscaling counts it, needs every container of the pod to ask.
    metrics = [item.get("resource", {}) for item in scale.get("metricsv2", [])]
    needed = {item["name"] for item in metrics if "averageUtilization" in item["target"]}
    asking = {f"{field}.spec.containers.{number}": one for number, one in enumerate(component["spec"]["containers"])}
    if orchestrator.get("resources"):  # without, Seldon asks for some itself
        asking[f"{field.partition('.componentSpecs')[0]}.svcOrchSpec"] = orchestrator
    for place, one in asking.items():
        for name in sorted(needed - one.get("resources", {}).get("requests", {}).keys()):
            yield f"{place}.resources.requests", f"it asks for no {name}, so nothing can be scaled by a share of it"
