"""What the checks share: a finding, and how a manifest, a pod and its images and commands are judged.

A manifest is held to Kubernetes' own schemas, with unknown fields forbidden, and to rules.yml beside this module.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate import utils as kubernetes
from referencing import Registry, Resource

from .. import project

BASE = "https://kubernetes.io/api/"  # of the references between Kubernetes' schemas
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
Fault = tuple[str, str]  # the field, and what is wrong with it


class Finding(NamedTuple):
    file: Path
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field + ': ' if self.field else ''}{self.message}"


def documents(root: Path, folder: Path) -> Iterator[tuple[Path, dict]]:
    """Yield each YAML document under a folder of the repository, with its file."""
    for path in sorted((root / folder).rglob("*.yml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document:
                yield path.relative_to(root), document


def leaves(value, field: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value of a document that is neither a mapping nor a list, with its field."""
    if not isinstance(value, dict | list):
        yield field, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(inner, f"{field}.{key}".lstrip("."))


@cache
def schemas() -> tuple[Registry, dict[tuple[str, str], str]]:
    """Return all schemas, and the reference to the one of each apiVersion and kind of Kubernetes."""
    rules = yaml.safe_load(Path(__file__).with_name("rules.yml").read_text(encoding="utf-8"))
    version = kubernetes.latest_version()
    file = f"kubernetes-json-schema/v{version}-local-strict/_definitions.json"
    content = kubernetes.schema_contents(file, version)
    known = content["$defs"]
    for name, added in rules["kubernetes"].items():
        known[name] = {**known[name], "allOf": [added]}
    kinds = {
        (f"{kind['group']}/{kind['version']}".lstrip("/"), kind["kind"]): f"_definitions.json#/$defs/{name}"
        for name, schema in known.items()
        for kind in schema.get("x-kubernetes-group-version-kind", [])
    }
    found = {"_definitions.json": content, "rules.yml": {**rules, "$schema": content["$schema"]}}
    resources = [(BASE + name, Resource.from_contents(schema)) for name, schema in found.items()]
    return Registry().with_resources(resources), kinds


def faults(value, reference: str) -> Iterator[Fault]:
    """Yield where a value breaks the schema of a reference, such as rules.yml#/labels."""
    registry, _ = schemas()
    for error in Draft202012Validator({"$ref": BASE + reference}, registry=registry).iter_errors(value):
        said = error.message
        if error.validator not in ("additionalProperties", "type"):
            said = error.schema.get("message", said).replace("{}", str(error.instance))
        yield ".".join(map(str, error.absolute_path)), said


def manifest_faults(manifest: dict) -> Iterator[Fault]:
    """Yield what Kubernetes would refuse in an object of its own."""
    kind = (manifest.get("apiVersion"), manifest.get("kind"))
    _, known = schemas()
    if kind not in known:
        yield "kind", f"Kubernetes has no {kind[0]} {kind[1]}"
        return
    yield from faults(manifest, known[kind])


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
        for probe in PROBES:
            for action in ("httpGet", "tcpSocket"):
                port = ((container.get(probe) or {}).get(action) or {}).get("port")
                if port is not None and port not in known and (known or isinstance(port, str)):
                    yield f"{field}.{probe}.{action}.port", f"the container has no port {port}"
        for message in _image(root, container.get("image", "")):
            yield f"{field}.image", message
        for message in _command(root, [*(container.get("command") or []), *(container.get("args") or [])], stages):
            yield f"{field}.command", message


def ports(container: dict) -> set:
    """Return the names and the numbers of a container's ports."""
    return {port[key] for port in container.get("ports") or [] for key in ("name", "containerPort") if key in port}


def _image(root: Path, image: str) -> Iterator[str]:
    """An image of this repository is one that a Dockerfile makes, with the version that pyproject.toml says."""
    prefix, version = project.images(root)
    name, _, tag = image.removeprefix(f"{prefix}/").partition(":")
    if not image.startswith(f"{prefix}/") or name == "model":  # s2i makes that one, of a bundle
        return
    if not (root / "docker" / f"{name}.Dockerfile").is_file():
        yield f"no docker/{name}.Dockerfile to make {name} of"
    elif tag != version:
        yield f"{name}:{tag}, but pyproject.toml says {version}"


def _command(root: Path, words: list[str], stages: click.Group) -> Iterator[str]:
    """A `python -m MODULE` names a module in src/; the words for a stage are those that it takes."""
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
