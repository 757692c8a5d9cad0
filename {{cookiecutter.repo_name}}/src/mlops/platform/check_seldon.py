"""The check of Seldon's files: every folder that kustomize builds, as the operator would get it.

Keys and types by the models of Seldon's own SDK (the API server drops an unknown key in silence), the rules of the
operator's webhook (seldon_rules.py), and the pods by Kubernetes' own schemas.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from . import seldon_rules
from .findings import Finding, as_pod, check_manifest, needs, tool

SELDON = Path("aisg-context/seldon")
KUSTOMIZATION = "kustomization.yml"
QUANTITIES, SINGLE = "ResourceList", ("Quantity", "IntOrString", "Time")  # of the SDK's models
SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}


def check_seldon(root: Path) -> Iterator[Finding]:
    """The base, and each overlay; what is wrong in the base is told once."""
    needs("seldon_deploy_sdk")
    kubectl = tool("kubectl")
    overlays = sorted(path.parent.relative_to(root) for path in (root / SELDON).glob(f"*/*/{KUSTOMIZATION}"))
    folders = [SELDON / "base", *overlays]
    told = set()
    for folder in folders:
        blamed = folder / KUSTOMIZATION if folder.name != "base" else folder / "deployment.yml"
        built = subprocess.run([kubectl, "kustomize", root / folder], capture_output=True, text=True, check=False)
        if built.returncode:
            yield Finding(folder / KUSTOMIZATION, "", " ".join(built.stderr.replace(str(root), ".").split()))
            continue
        for manifest in yaml.safe_load_all(built.stdout):
            for field, message in _faults(manifest):
                if (field, message) not in told:
                    told.add((field, message))
                    yield Finding(blamed, field, message)


def _faults(manifest: dict) -> Iterator[tuple[str, str]]:
    if (manifest.get("apiVersion"), manifest.get("kind")) != ("machinelearning.seldon.io/v1", "SeldonDeployment"):
        yield "kind", f"{manifest.get('apiVersion')} {manifest.get('kind')} is no SeldonDeployment of v1"
        return
    unread = list(types(manifest))
    yield from unread
    if unread:
        return
    yield from seldon_rules.faults(manifest)
    for field, item in _kubernetes(manifest):
        for finding in check_manifest(Path(), item):
            yield f"{field}.{finding.field.removeprefix('spec.')}", finding.message


def types(manifest: dict) -> Iterator[tuple[str, str]]:
    """Unknown keys and values of another type, by the SDK's models."""
    import seldon_deploy_sdk

    yield from _typed(manifest, "SeldonDeployment", "", seldon_deploy_sdk)


def _typed(value, kind: str, field: str, models) -> Iterator[tuple[str, str]]:
    listed, mapped = re.fullmatch(r"list\[(.*)\]", kind), re.fullmatch(r"dict\(str, (.*)\)", kind)
    if value is None or kind in ("object", "datetime"):
        return
    if listed:
        if not isinstance(value, list):
            yield field, f"must be a list, not {value!r}"
            return
        for number, inner in enumerate(value):
            yield from _typed(inner, listed[1], f"{field}.{number}", models)
    elif mapped:
        if not isinstance(value, dict):
            yield field, f"must be a mapping, not {value!r}"
            return
        for key, inner in value.items():
            yield from _typed(inner, mapped[1], f"{field}.{key}", models)
    elif kind in SCALARS:
        if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind != "bool"):
            yield field, f"must be {kind}, not {value!r}"
    elif isinstance(value, str | int | float):
        # Quantities, times, enumerations and numbers that may be words are models too, without members.
        if kind == QUANTITIES or (kind not in SINGLE and getattr(models, kind).swagger_types):
            yield field, f"must be a mapping, not {value!r}"
    else:
        yield from _members(value, kind, field, models)


def _members(value, kind: str, field: str, models) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield field, f"must be a mapping, not {value!r}"
        return
    if kind == QUANTITIES:
        return  # they are judged as Kubernetes objects below
    model = getattr(models, kind)
    if not model.swagger_types:
        yield field, f"must be a word or a number, not {value!r}"
        return
    known = {name: model.swagger_types[attribute] for attribute, name in model.attribute_map.items()}
    for key, inner in value.items():
        here = f"{field}.{key}".lstrip(".")
        if key not in known:
            yield here, f"there is no such key; there are {', '.join(sorted(known))}"
        else:
            yield from _typed(inner, known[key], here, models)


def _kubernetes(manifest: dict) -> Iterator[tuple[str, dict]]:
    """What the operator makes of it, with the field that it is made of: pods, scaling, budgets."""
    for number, predictor in enumerate(manifest["spec"]["predictors"]):
        for place, component in enumerate(predictor.get("componentSpecs") or []):
            field = f"spec.predictors.{number}.componentSpecs.{place}"
            yield f"{field}.spec", as_pod(_with_ports(component["spec"]))
            scale = component.get("hpaSpec")
            if scale:
                target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "made-by-seldon"}
                metrics = {"metrics" if key == "metricsv2" else key: value for key, value in scale.items()}
                spec = {"scaleTargetRef": target, **metrics}
                yield f"{field}.hpaSpec", _object("autoscaling/v2", "HorizontalPodAutoscaler", spec)
            if component.get("pdbSpec"):
                yield f"{field}.pdbSpec", _object("policy/v1", "PodDisruptionBudget", component["pdbSpec"])
        resources = (predictor.get("svcOrchSpec") or {}).get("resources")
        if resources:
            container = {"name": "orchestrator", "image": "seldon", "resources": resources}
            yield f"spec.predictors.{number}.svcOrchSpec", as_pod({"containers": [container]})


def _with_ports(spec: dict) -> dict:
    """A pod with the ports that the operator gives its containers; their numbers depend on their place."""
    ports = [{"name": "http", "containerPort": 9000}, {"name": "grpc", "containerPort": 9500}]
    containers = [{**one, "ports": [*(one.get("ports") or []), *ports]} for one in spec.get("containers") or []]
    return {**spec, "containers": containers}


def _object(version: str, kind: str, spec: dict) -> dict:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "compiled"}, "spec": spec}
