"""The checks of the plain Kubernetes manifests, and of the names by which all the cluster's files refer to objects."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from .. import project
from .manifests import Fault, Finding, documents, leaves, manifest_faults, pod_faults, ports

CONTEXT, KUBERNETES = Path("aisg-context"), Path("aisg-context/k8s")
SERVED = Path("aisg-context/seldon/base/deployment.yml")
SELDON_LABEL = "seldon-deployment-id"  # which Seldon puts on the pods of a deployment
# A field that names an object of the same namespace, and that object's kind
NAMES = {
    re.compile(rf"(^|\.)({fields})$"): kind
    for fields, kind in {
        r"secretName|secretKeyRef\.name|imagePullSecrets\.\d+(\.name)?": "Secret",
        r"serviceAccountName": "ServiceAccount",
        r"claimName|volumeClaim": "PersistentVolumeClaim",
        r"workflowTemplateRef\.name": "WorkflowTemplate",
    }.items()
}


def check_manifests(root: Path, stages: click.Group) -> Iterator[Finding]:
    """Each object under aisg-context/k8s by Kubernetes' schemas, its pods, and whether a service finds pods."""
    files = list(documents(root, KUBERNETES))
    pods = list(_pods([item for _, item in files], yaml.safe_load((root / SERVED).read_text(encoding="utf-8"))))
    for path, item in files:
        wrong = list(manifest_faults(item))
        if not wrong and item["kind"] in ("Deployment", "Job"):
            template = item["spec"]["template"]
            found = pod_faults(root, template["spec"], stages)
            wrong = [(f"spec.template.spec.{field}", message) for field, message in found]
            labels = template["metadata"].get("labels", {}) if item["kind"] == "Deployment" else {}
            selector = item["spec"].get("selector", {}).get("matchLabels", {})
            if not selector.items() <= labels.items():
                wrong.append(("spec.selector.matchLabels", f"{selector} does not select its own pods, {labels}"))
        elif not wrong and item["kind"] == "Service":
            wrong = list(_service(item, pods))
        yield from (Finding(path, *fault) for fault in wrong)


def _pods(objects: list[dict], served: dict) -> Iterator[tuple[str, dict, set]]:
    """Yield the namespace, the labels and the ports of the pods of each Deployment and of the served model."""
    templates = [(item, item["spec"]["template"]) for item in objects if item["kind"] == "Deployment"]
    for item, template in [*templates, (served, served["spec"]["predictors"][0]["componentSpecs"][0])]:
        labels = (template.get("metadata") or {}).get("labels") or {}
        if item is served:
            labels = labels | {SELDON_LABEL: served["metadata"]["name"]}
        opened = set().union(*map(ports, template["spec"]["containers"]))
        yield item["metadata"].get("namespace"), labels, opened


def _service(item: dict, pods: list[tuple[str, dict, set]]) -> Iterator[Fault]:
    namespace, selector = item["metadata"].get("namespace"), item["spec"].get("selector") or {}
    near = [(labels, opened) for place, labels, opened in pods if place == namespace]
    selected = [opened for labels, opened in near if selector.items() <= labels.items()]
    if not selected:
        yield "spec.selector", f"no pods in metadata.namespace {namespace} have the labels {selector}"
    for number, port in enumerate(item["spec"]["ports"] if selected else []):
        target = port.get("targetPort", port["port"])
        if not any(target in opened for opened in selected):
            yield f"spec.ports.{number}.targetPort", f"no container of these pods has a port {target}"


def check_names(root: Path, stages: click.Group) -> Iterator[Finding]:
    """Each secret, account, claim, role and workflow template that a file names: is it there, in that namespace?

    Secrets are made by hand: pyproject.toml lists them, under [tool.cluster.secrets].
    """
    files = list(documents(root, CONTEXT))
    usual = next(document["namespace"] for path, document in files if path.name == "polyaxon-config.yml")
    made = {("Secret", name, space) for space, names in project.cluster(root)["secrets"].items() for name in names}
    made |= {
        (item["kind"], item["metadata"].get("name"), item["metadata"].get("namespace", usual))
        for _, item in files
        if "metadata" in item
    }
    for path, document in files:
        for field, kind, name, namespace in _named(document, usual):
            known = (kind, name, namespace) in made or (kind, name) == ("ServiceAccount", "default")
            if not known and "{" * 2 not in name:
                where = f"[tool.cluster.secrets] of pyproject.toml for {namespace}" if kind == "Secret" else namespace
                yield Finding(path, field, f"there is no {kind} {name} in {where}")


def _named(document: dict, usual: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the field, the kind, the name and the namespace of each object that a document names."""
    namespace = (document.get("metadata") or {}).get("namespace", usual)
    for field, value in leaves(document):
        for pattern, kind in NAMES.items():
            if pattern.search(field):
                yield field, kind, str(value), namespace
    typed = [(f"subjects.{number}", item) for number, item in enumerate(document.get("subjects") or [])]
    for field, item in [("roleRef", document.get("roleRef") or {}), *typed]:
        if item.get("kind") in ("Role", "ServiceAccount"):
            yield f"{field}.name", item["kind"], item["name"], item.get("namespace", namespace)
