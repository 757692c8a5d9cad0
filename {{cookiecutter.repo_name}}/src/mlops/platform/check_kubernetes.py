"""The checks of the plain Kubernetes manifests, and of the names by which all the cluster's files refer to objects.

The other checks judge pods by it too. A manifest is held to Kubernetes' own schemas, with unknown fields forbidden, and
to rules.yml beside this module.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import click
import yaml
from jsonschema import Draft202012Validator, ValidationError, validators
from kubernetes.utils import parse_quantity
from kubernetes_validate import utils as shipped
from referencing import Registry, Resource

from .. import project

CONTEXT, KUBERNETES = Path("aisg-context"), Path("aisg-context/k8s")
SERVED = Path("aisg-context/seldon/base/deployment.yml")
# A field that names an object of the same namespace, and that object's kind
NAMES = {
    r"(.*\.)?(secretName|secretKeyRef\.name|imagePullSecrets\.\d+(\.name)?)": "Secret",
    r"(.*\.)?serviceAccountName": "ServiceAccount",
    r"(.*\.)?(claimName|volumeClaim)": "PersistentVolumeClaim",
    r"(.*\.)?workflowTemplateRef\.name": "WorkflowTemplate",
    r"metadata\.namespace": "Namespace",
}
OF_CHARTS = ("argo", "istio-system", "seldon-system")  # namespaces that Helm makes
Pod = tuple[str, dict, set]  # namespace, labels, ports
BASE = "https://kubernetes.io/api/"  # of the references between Kubernetes' schemas
Fault = tuple[str, str]  # the field, and what is wrong with it


def check_manifests(root: Path, stages: click.Group) -> Iterator[str]:
    """Check each object under aisg-context/k8s by Kubernetes' schemas, its pods, and whether a service finds pods."""
    valid = []
    for path, item in documents(root, KUBERNETES):
        kind = str(item.get("apiVersion")), str(item.get("kind"))
        wrong = [("kind", f"Kubernetes has no {' '.join(kind)}")]
        if kind in schemas()[1]:
            wrong = [*faults(item, "rules.yml#/object"), *faults(item, schemas()[1][kind])]
        yield from findings(path, wrong)
        valid += [] if wrong else [(path, item)]
    served = yaml.safe_load((root / SERVED).read_text(encoding="utf-8"))
    pods = [_pod(item, item["spec"]["template"]) for _, item in valid if item["kind"] == "Deployment"]
    pods.append(_pod(served, served["spec"]["predictors"][0]["componentSpecs"][0]))
    pods[-1][1]["seldon-deployment-id"] = served["metadata"]["name"]  # Seldon labels the pods of a deployment so
    for path, item in valid:
        if item["kind"] in ("Deployment", "Job"):
            yield from findings(path, _template_faults(root, item["spec"], stages))
        elif item["kind"] == "Service":
            yield from findings(path, _service_faults(item, pods))


def _pod(item: dict, template: dict) -> Pod:
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    return item["metadata"].get("namespace"), labels, set().union(*map(ports, template["spec"]["containers"]))


def _template_faults(root: Path, spec: dict, stages: click.Group) -> Iterator[Fault]:
    template = spec["template"]
    for field, message in pod_faults(root, template["spec"], stages):
        yield f"spec.template.spec.{field}", message
    labels = (template.get("metadata") or {}).get("labels") or {}
    selector = spec.get("selector", {}).get("matchLabels", {})
    if not selector.items() <= labels.items():
        yield "spec.selector.matchLabels", f"{selector} does not select its own pods, {labels}"


def _service_faults(item: dict, pods: list[Pod]) -> Iterator[Fault]:
    namespace, selector = item["metadata"].get("namespace"), item["spec"].get("selector") or {}
    selected = [opened for place, labels, opened in pods if place == namespace and selector.items() <= labels.items()]
    if not selected:
        yield "spec.selector", f"no pods in metadata.namespace {namespace} have the labels {selector}"
        return
    for number, port in enumerate(item["spec"]["ports"]):
        target = port.get("targetPort", port["port"])
        if target not in set().union(*selected):
            yield f"spec.ports.{number}.targetPort", f"no container of these pods has a port {target}"


def check_names(root: Path) -> Iterator[str]:
    """Check that what a file names is in its namespace; pyproject.toml lists the secrets, which are made by hand."""
    files = list(documents(root, CONTEXT))
    usual = next(document["namespace"] for path, document in files if path.name == "polyaxon-config.yml")
    made = {("Secret", name, space) for space, names in project.cluster(root)["secrets"].items() for name in names}
    objects = [(item["kind"], item["metadata"]) for _, item in files if "metadata" in item]
    made |= {(kind, metadata.get("name"), metadata.get("namespace", usual)) for kind, metadata in objects}
    made |= {("Namespace", name, usual) for name in OF_CHARTS}
    for path, document in files:
        for field, kind, name, namespace in _named(document, usual):
            known = (kind, name, namespace) in made or (kind, name) == ("ServiceAccount", "default")
            if not known and "{" * 2 not in name:
                where = f"[tool.cluster.secrets] of pyproject.toml for {namespace}" if kind == "Secret" else namespace
                yield from findings(path, [(field, f"there is no {kind} {name} in {where}")])


def _named(document: dict, usual: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the field, the kind, the name and the namespace of each object that a document names."""
    namespace = (document.get("metadata") or {}).get("namespace", usual)
    for field, value in leaves(document):
        for pattern, kind in NAMES.items():
            if re.fullmatch(pattern, field):
                yield field, kind, str(value), usual if kind == "Namespace" else namespace
    typed = [(f"subjects.{number}", item) for number, item in enumerate(document.get("subjects") or [])]
    for field, item in [("roleRef", document.get("roleRef") or {}), *typed]:
        if item.get("kind") in ("Role", "ServiceAccount"):
            yield f"{field}.name", item["kind"], item["name"], item.get("namespace", namespace)


def findings(path: Path, faults: Iterable[Fault]) -> Iterator[str]:
    """Yield what is wrong with a file, each with the file and the field."""
    for field, message in faults:
        yield f"{path}: {field + ': ' if field else ''}{message}"


def documents(root: Path, folder: Path) -> Iterator[tuple[Path, dict]]:
    """Yield each YAML document under a folder of the repository, with its file."""
    for path in sorted((root / folder).rglob("*.yml")):
        with path.open(encoding="utf-8") as file:
            yield from ((path.relative_to(root), document) for document in yaml.load_all(file, _Loader) if document)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, as the API server does."""

    def construct_mapping(self, node, deep=False):
        keys = [str(key.value) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.MarkedYAMLError(problem="a key is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def leaves(value, field: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value of a document that is neither a mapping nor a list, with its field."""
    if not isinstance(value, dict | list):
        yield field, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(inner, f"{field}.{key}".lstrip("."))


def _repeated(validator, keys: list[str], items: object, schema: dict) -> Iterator[ValidationError]:
    """Yield the items of a list that have the same keys as one before: the API server tells them apart by these."""
    found: list[list] = []
    for number, item in enumerate(items if isinstance(items, list) else ()):
        values = [item.get(key) for key in keys] if isinstance(item, dict) else []
        if values and values in found:
            yield ValidationError(f"{' '.join(map(str, values))} is used twice", path=[number, keys[0]])
        found.append(values)


Validator = validators.extend(Draft202012Validator, {"x-kubernetes-list-map-keys": _repeated})


@cache
def schemas() -> tuple[Registry, dict[tuple[str, str], str]]:
    """Return all schemas, and the reference to the one of each apiVersion and kind of Kubernetes."""
    rules = yaml.safe_load(Path(__file__).with_name("rules.yml").read_text(encoding="utf-8"))
    version = shipped.latest_version()
    file = f"kubernetes-json-schema/v{version}-local-strict/_definitions.json"
    content = shipped.schema_contents(file, version)
    known = content["$defs"]
    for name, schema in known.items():
        schema["allOf"] = [{"patternProperties": rules["fields"]}, rules["kubernetes"].get(name, {})]
    kinds = {
        (f"{kind['group']}/{kind['version']}".lstrip("/"), kind["kind"]): f"_definitions.json#/$defs/{name}"
        for name, schema in known.items()
        for kind in schema.get("x-kubernetes-group-version-kind", [])
    }
    found = {"_definitions.json": content, "rules.yml": {**rules, "$schema": content["$schema"]}}
    resources = [(BASE + name, Resource.from_contents(schema)) for name, schema in found.items()]
    return Registry().with_resources(resources), kinds


def faults(value, reference: str) -> Iterator[Fault]:
    """Yield where a value breaks the schema that a reference names, such as rules.yml#/labels."""
    registry, _ = schemas()
    for error in Validator({"$ref": BASE + reference}, registry=registry).iter_errors(value):
        said = error.message
        if error.validator not in ("additionalProperties", "type"):
            said = error.schema.get("message", said).replace("{}", str(error.instance))
        yield ".".join(map(str, error.absolute_path)), said


def pod_faults(root: Path, pod: dict, stages: click.Group) -> Iterator[Fault]:
    """Yield what is wrong with a pod's spec: by the schemas, or in what its containers refer to."""
    wrong = list(faults(pod, "_definitions.json#/$defs/io.k8s.api.core.v1.PodSpec"))
    yield from wrong
    if wrong:
        return  # the rest can be read only from a valid one
    volumes = {volume["name"] for volume in pod.get("volumes") or []}
    for number, container in enumerate(pod["containers"]):
        field = f"containers.{number}"
        for place, mount in enumerate(container.get("volumeMounts") or []):
            if mount["name"] not in volumes:
                yield f"{field}.volumeMounts.{place}", f"no volume is called {mount['name']}"
        known = ports(container)
        for probe, port in leaves(container):
            probed = re.fullmatch(r"\w+Probe\.(httpGet|tcpSocket)\.port", probe)
            if probed and port not in known and (known or isinstance(port, str)):
                yield f"{field}.{probe}", f"the container has no port {port}"
        resources = {key: value or {} for key, value in (container.get("resources") or {}).items()}
        for name in resources.get("requests", {}).keys() & resources.get("limits", {}).keys():
            if parse_quantity(resources["requests"][name]) > parse_quantity(resources["limits"][name]):
                yield f"{field}.resources.requests.{name}", "it is more than the limit"
        for message in _image(root, container.get("image", "")):
            yield f"{field}.image", message
        for message in _command(root, [*(container.get("command") or []), *(container.get("args") or [])], stages):
            yield f"{field}.command", message


def ports(container: dict) -> set:
    """Return the names and the numbers of a container's ports."""
    return {port[key] for port in container.get("ports") or [] for key in ("name", "containerPort") if key in port}


def _image(root: Path, image: str) -> Iterator[str]:
    """Yield what is wrong with an image of this repository: no Dockerfile, or another version than pyproject.toml's."""
    prefix, version = project.images(root)
    name, _, tag = image.removeprefix(f"{prefix}/").partition(":")
    if not image.startswith(f"{prefix}/") or name == "model":  # s2i makes that one, of a bundle
        return
    if not (root / "docker" / f"{name}.Dockerfile").is_file():
        yield f"there is no docker/{name}.Dockerfile to build {name} from"
    elif tag != version:
        yield f"{name}:{tag}, but pyproject.toml says {version}"


def _command(root: Path, words: list[str], stages: click.Group) -> Iterator[str]:
    """Yield what is wrong with `python -m MODULE`: no such module in src/, or not the words of a stage."""
    if words[:2] != ["python", "-m"] or len(words) < 3:
        return
    module = root / "src" / words[2].replace(".", "/")
    if not (module / "__main__.py").is_file() and not module.with_suffix(".py").is_file():
        yield f"python -m {words[2]}: there is no such module in src/"
    elif module.parent.name == "src":  # the team's package: its command line is the stages
        with click.Context(stages, info_name=words[2]) as context:
            try:
                name, command, rest = stages.resolve_command(context, words[3:] or ["(none)"])
                if command:
                    command.make_context(name, rest, parent=context)
            except click.ClickException as error:
                yield f"{' '.join(words[2:4])}: {error.format_message()}"
