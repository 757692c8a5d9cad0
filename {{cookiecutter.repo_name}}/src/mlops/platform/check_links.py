"""References between Kubernetes objects, which no schema holds: selectors, roles, accounts, claims, ports."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from .. import project
from .findings import Finding, as_pod, check_images, documents, leaves, pod_faults

KUBERNETES = Path("aisg-context/k8s")
CONTEXT = Path("aisg-context")
SERVED = Path("aisg-context/seldon/base/deployment.yml")
VERBS = {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"}
SECRET = re.compile(r"(^|\.)(secretName|secretKeyRef\.name|imagePullSecrets\.\d+(\.name)?)$")  # a field that names one
SELDON_LABEL = "seldon-deployment-id"  # which Seldon puts on the pods of a deployment


def check_links(root: Path) -> Iterator[Finding]:
    """Each object under aisg-context/k8s and the others that it names."""
    files = list(documents(root, KUBERNETES))
    objects = [item for _, item in files] + [yaml.safe_load((root / SERVED).read_text(encoding="utf-8"))]
    for path, item in files:
        look = {
            "Deployment": _deployment, "Service": _service, "RoleBinding": _binding, "Role": _role,
            "PersistentVolumeClaim": _claim,
        }.get(item.get("kind", ""))  # fmt: skip
        for field, message in look(item, objects) if look else ():
            yield Finding(path, field, message)
        template = (item.get("spec") or {}).get("template")
        if template:
            for field, message in (*_claims(template["spec"], objects), *pod_faults(template["spec"])):
                yield Finding(path, f"spec.template.spec.{field}", message)
            yield from check_images(root, path, as_pod(template["spec"])["spec"])
    yield from _check_secrets(root)


def _check_secrets(root: Path) -> Iterator[Finding]:
    """Every secret that a file names is one of those that [tool.cluster] lists: they are made by hand."""
    made = project.cluster(root)["secrets"]
    for path, document in documents(root, CONTEXT):
        for field, name in leaves(document):
            if SECRET.search(field) and name not in made:
                text = f"pyproject.toml, [tool.cluster], has no secret {name}; it has {', '.join(made)}"
                yield Finding(path, field, text)


def _claim(item: dict, objects: list[dict]) -> Iterator[tuple[str, str]]:
    if "ReadWriteMany" not in item["spec"].get("accessModes", []):
        yield "spec.accessModes", "pods on several nodes write to it: it must be ReadWriteMany"


def _role(item: dict, objects: list[dict]) -> Iterator[tuple[str, str]]:
    for number, rule in enumerate(item.get("rules") or []):
        for verb in rule.get("verbs") or []:
            if verb not in VERBS:
                yield f"rules.{number}.verbs", f"{verb} is none of {', '.join(sorted(VERBS))}"


def _deployment(item: dict, objects: list[dict]) -> Iterator[tuple[str, str]]:
    labels = item["spec"]["template"]["metadata"].get("labels") or {}
    selector = item["spec"]["selector"].get("matchLabels") or {}
    if not selector or not selector.items() <= labels.items():
        yield "spec.selector.matchLabels", f"{selector} does not select the pods of its own template, {labels}"


def _service(item: dict, objects: list[dict]) -> Iterator[tuple[str, str]]:
    if item["spec"].get("type", "ClusterIP") != "ClusterIP":
        yield "spec.type", f"{item['spec']['type']} opens it to the network; it must be ClusterIP"
    selector = item["spec"].get("selector") or {}
    if SELDON_LABEL in selector:
        yield from _metrics_service(item, objects)
        return
    pods = [
        other["spec"]["template"]
        for other in _alike(item, objects)
        if other["kind"] == "Deployment"
        and selector.items() <= (other["spec"]["template"]["metadata"].get("labels") or {}).items()
    ]
    if not selector or not pods:
        yield "spec.selector", f"{selector} selects the pods of no Deployment here"
        return
    ports = [port for pod in pods for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    open_ports = {port.get("name") for port in ports} | {port.get("containerPort") for port in ports}
    for number, port in enumerate(item["spec"]["ports"]):
        target = port.get("targetPort", port["port"])
        if target not in open_ports:
            yield f"spec.ports.{number}.targetPort", f"no container has a port {target}"


def _metrics_service(item: dict, objects: list[dict]) -> Iterator[tuple[str, str]]:
    """A service of the pods that Seldon makes: their namespace and labels, and the ports of the model's container."""
    served = next((other for other in _alike(item, objects) if other["kind"] == "SeldonDeployment"), None)
    if served is None:
        yield "metadata.namespace", f"there is no SeldonDeployment in {item['metadata'].get('namespace')}"
        return
    component = served["spec"]["predictors"][0]["componentSpecs"][0]
    labels = {SELDON_LABEL: served["metadata"]["name"]} | (component.get("metadata") or {}).get("labels", {})
    selector = item["spec"]["selector"]
    if not selector.items() <= labels.items():
        yield "spec.selector", f"{selector} selects no pods of the SeldonDeployment; theirs are {labels}"
    open_ports = {port.get("containerPort") for port in component["spec"]["containers"][0].get("ports") or []}
    for number, port in enumerate(item["spec"]["ports"]):
        if port.get("targetPort", port["port"]) not in open_ports:
            yield f"spec.ports.{number}.targetPort", f"the model's container has no port {port.get('targetPort')}"


def _binding(item: dict, objects: list[dict]) -> Iterator[tuple[str, str]]:
    role = item["roleRef"]
    if role["kind"] == "Role" and not any(
        other["kind"] == "Role" and other["metadata"]["name"] == role["name"] for other in _alike(item, objects)
    ):
        yield "roleRef.name", f"no Role in {item['metadata'].get('namespace')} is called {role['name']}"
    for number, subject in enumerate(item.get("subjects") or []):
        if subject["kind"] == "ServiceAccount" and not any(
            other["kind"] == "ServiceAccount"
            and other["metadata"]["name"] == subject["name"]
            and other["metadata"].get("namespace") == subject.get("namespace")
            for other in objects
        ):
            yield f"subjects.{number}", f"no account {subject['name']} in {subject.get('namespace')}"


def _claims(pod: dict, objects: list[dict]) -> Iterator[tuple[str, str]]:
    claims = {item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolumeClaim"}
    for number, volume in enumerate(pod.get("volumes") or []):
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim not in claims:
            yield f"volumes.{number}", f"no file under {KUBERNETES} claims {claim}"


def _alike(item: dict, objects: list[dict]) -> list[dict]:
    """The objects of the same namespace."""
    return [other for other in objects if other["metadata"].get("namespace") == item["metadata"].get("namespace")]
