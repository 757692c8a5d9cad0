"""Mistakes for which Seldon's operator refuses a SeldonDeployment, found before it is applied.

The rules of the operator's webhook (ValidateSeldonDeployment in seldondeployment_webhook.go, v1), and of its types that
a schema does not hold. Standard library only.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from . import seldon_operator

PROTOCOLS = ("seldon", "tensorflow", "v2", "kfserving")
TYPES = ("MODEL", "ROUTER", "COMBINER", "TRANSFORMER", "OUTPUT_TRANSFORMER", "UNKNOWN_TYPE")
BUILT_IN = ("SIMPLE_MODEL", "SIMPLE_ROUTER", "RANDOM_ABTEST", "AVERAGE_COMBINER")  # run inside Seldon's orchestrator
SERVERS = ("SKLEARN_SERVER", "XGBOOST_SERVER", "TENSORFLOW_SERVER", "MLFLOW_SERVER", "TRITON_SERVER", "TEMPO_SERVER",
           "HUGGINGFACE_SERVER")  # fmt: skip
PARAMETERS: dict[str, Callable[[Any], Any]] = {
    "INT": int, "FLOAT": float, "DOUBLE": float, "STRING": str, "BOOL": {"true": 1, "false": 0}.__getitem__,
}  # fmt: skip
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
Fault = tuple[str, str]  # the field, and what is wrong with it


def faults(manifest: dict) -> Iterator[Fault]:
    """Every reason for which a SeldonDeployment would be refused, or would not serve."""
    spec = manifest.get("spec") or {}
    predictors = spec.get("predictors") or []
    if spec.get("protocol", "seldon") not in PROTOCOLS:
        yield "spec.protocol", f"{spec['protocol']} is none of {', '.join(PROTOCOLS)}"
    if spec.get("transport", "rest") not in ("rest", "grpc"):
        yield "spec.transport", f"{spec['transport']} is neither rest nor grpc"
    if not predictors:
        yield "spec.predictors", "there is none"
    yield from _traffic(predictors)
    yield from _transports(spec, predictors)
    yield from seldon_operator.faults(predictors)
    names = [predictor.get("name") for predictor in predictors]
    for number, predictor in enumerate(predictors):
        field = f"spec.predictors.{number}"
        if predictor.get("name") in names[:number]:
            yield f"{field}.name", f"{predictor['name']} is the name of another predictor too"
        yield from _graph(predictor, f"{field}.graph")
        yield from _components(predictor, field)


def _traffic(predictors: list[dict]) -> Iterator[Fault]:
    shown = [predictor for predictor in predictors if not predictor.get("shadow")]
    total = sum(_whole(predictor.get("traffic")) for predictor in shown)
    if len(predictors) - len(shown) > 1:
        yield "spec.predictors", "more than one is a shadow"
    if predictors and not shown:
        yield "spec.predictors", "a shadow cannot be alone"
    if len(shown) > 1 and total != 100:
        yield "spec.predictors", f"the traffic of those that are no shadow makes {total}, not 100"
    if len(shown) == 1 and total not in (0, 100):
        yield "spec.predictors", f"the only one that is no shadow gets {total} of the traffic, not 100"
    for number, predictor in enumerate(predictors):
        if len(shown) > 1 and predictor in shown and "traffic" not in predictor:
            yield f"spec.predictors.{number}.traffic", "there is none, and this is no shadow: nobody would ask it"
        if not 0 <= _whole(predictor.get("traffic")) <= 100:
            yield f"spec.predictors.{number}.traffic", f"{predictor['traffic']} is not from 0 to 100"


def _transports(spec: dict, predictors: list[dict]) -> Iterator[Fault]:
    """One kind of endpoint in all graphs, and the transport of the deployment."""
    found = {
        node["endpoint"]["type"]
        for predictor in predictors
        for node, _ in _nodes(predictor.get("graph") or {}, "")
        if (node.get("endpoint") or {}).get("type")
    }
    for kind in sorted(found - {"REST", "GRPC"}):
        yield "spec.predictors", f"an endpoint's type is {kind}, neither REST nor GRPC"
    if len(found) > 1 or (found and spec.get("transport") and spec["transport"].upper() not in found):
        yield "spec.transport", f"{spec.get('transport')} and the endpoints' {', '.join(sorted(found))} are not one"


def _graph(predictor: dict, field: str) -> Iterator[Fault]:
    containers = {container.get("name") for _, container in _containers(predictor)}
    seen = set()
    for node, place in _nodes(predictor.get("graph") or {}, field):
        name, built_in = node.get("name"), node.get("implementation")
        if name in seen:
            yield f"{place}.name", f"{name} is the name of another node too"
        seen.add(name)
        if built_in and built_in not in (*BUILT_IN, *SERVERS):
            yield f"{place}.implementation", f"Seldon has no {built_in}; it has {', '.join((*BUILT_IN, *SERVERS))}"
        if not built_in and name not in containers:
            yield f"{place}.name", f"no container is called {name}; there are {', '.join(sorted(map(str, containers)))}"
        if built_in in SERVERS and not node.get("modelUri"):
            yield f"{place}.modelUri", f"{built_in} needs one"
        if not built_in and node.get("type") not in TYPES:
            yield f"{place}.type", f"{node.get('type')} is none of {', '.join(TYPES)}"
        yield from _children(node, place)
        yield from _parameters(node, place)


def _children(node: dict, place: str) -> Iterator[Fault]:
    count = len(node.get("children") or [])
    if node.get("implementation") == "RANDOM_ABTEST" and count != 2:
        yield f"{place}.children", f"RANDOM_ABTEST chooses between 2 children, here are {count}"
    if node.get("type") == "ROUTER" and not count:
        yield f"{place}.children", "a router without children has nowhere to route to"
    wanted = [item.get("value") for item in node.get("parameters") or [] if item.get("name") == "n_branches"]
    if wanted and wanted[0] != str(count):
        yield f"{place}.parameters", f"n_branches is {wanted[0]}, and there are {count} children"


def _parameters(node: dict, place: str) -> Iterator[Fault]:
    for number, item in enumerate(node.get("parameters") or []):
        try:
            value = PARAMETERS[item.get("type")](item.get("value"))
        except (KeyError, ValueError, TypeError):
            yield f"{place}.parameters.{number}", f"{item.get('value')} is no {item.get('type')}"
            continue
        if item.get("name") in ("ratioA", "epsilon") and not 0 <= value <= 1:
            yield f"{place}.parameters.{number}.value", f"{value} is not a share, from 0 to 1"


def _components(predictor: dict, field: str) -> Iterator[Fault]:
    nodes = {node.get("name") for node, _ in _nodes(predictor.get("graph") or {}, "")}
    names = [container.get("name") for _, container in _containers(predictor)]
    for place, container in _containers(predictor):
        if names.count(container.get("name")) > 1:
            yield f"{field}.{place}.name", f"{container.get('name')} is the name of another container too"
        if container.get("name") not in nodes:
            yield f"{field}.{place}.name", f"the graph has no node {container.get('name')}: nothing would ask it"
    for number, component in enumerate(predictor.get("componentSpecs") or []):
        place = f"{field}.componentSpecs.{number}"
        scale, budget = component.get("hpaSpec") or {}, component.get("pdbSpec") or {}
        if scale and _whole(scale.get("minReplicas", 1)) > _whole(scale.get("maxReplicas")):
            yield f"{place}.hpaSpec", f"from {scale.get('minReplicas')} to {scale.get('maxReplicas')} replicas"
        if scale.get("metrics"):
            yield f"{place}.hpaSpec.metrics", "autoscaling/v2beta1, which Kubernetes no longer has; write metricsv2"
        if scale and not (scale.get("metricsv2") or scale.get("metrics")):
            yield f"{place}.hpaSpec.metricsv2", "there is nothing to scale by"
        if len(budget) > 1:
            yield f"{place}.pdbSpec", "either minAvailable or maxUnavailable"
        yield from _labels((component.get("metadata") or {}).get("labels"), f"{place}.metadata.labels")
    yield from _labels(predictor.get("labels"), f"{field}.labels")


def _labels(labels: dict | None, field: str) -> Iterator[Fault]:
    for name, value in (labels or {}).items():
        if not LABEL.fullmatch(str(value)):
            yield f"{field}.{name}", f"{value} is no value of a label: up to 63 letters, digits, dots, _ and -"


def _nodes(node: dict, field: str) -> Iterator[tuple[dict, str]]:
    yield node, field
    for number, child in enumerate(node.get("children") or []):
        yield from _nodes(child, f"{field}.children.{number}")


def _containers(predictor: dict) -> Iterator[tuple[str, dict]]:
    for number, component in enumerate(predictor.get("componentSpecs") or []):
        for place, container in enumerate((component.get("spec") or {}).get("containers") or []):
            yield f"componentSpecs.{number}.spec.containers.{place}", container


def _whole(value) -> int:
    return value if isinstance(value, int) else 0
