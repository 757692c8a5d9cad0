"""What the checks share: a finding, and how a Kubernetes object and an image's name are judged."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click
import yaml

from .. import project

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # of any object, by Kubernetes' rules
QUANTITY = re.compile(r"(^|\.)resources\.(requests|limits)\..")  # the field of one
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


class Finding(NamedTuple):
    file: Path
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field + ': ' if self.field else ''}{self.message}"


class NotChecked(Exception):
    """A check could not run; the text says why and how to make it run."""


class Unread(NotChecked):
    """A program could not read the files, and says why."""


def tool(name: str) -> str:
    """A program of the environment that this runs in, or of the machine."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which(name, path=places)
    if not found:
        raise NotChecked(f"{name} is not installed; it comes with: make setup")
    return found


def answer_of(root: Path, program: str, *words: str):
    """Return what a program of the environment says of the files, which is JSON."""
    done = subprocess.run([tool(program), *words], cwd=root, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        said = (done.stderr or done.stdout).strip().partition("\n\nStack backtrace:")[0]
        raise Unread(f"{program}: {' '.join(said.split())}") from None


def needs(module: str, package: str = "") -> None:
    if not find_spec(module):
        raise NotChecked(f"{package or module.replace('_', '-')} is not installed; it comes with: make setup")


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


def check_manifest(path: Path, manifest: dict) -> Iterator[Finding]:
    from kubernetes.utils import parse_quantity
    from kubernetes_validate import utils as kubernetes_validate

    try:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        yield Finding(path, ".".join(map(str, error.path)), error.message)
    except kubernetes_validate.SchemaNotFoundError as error:
        yield Finding(path, "kind", error.message)
    for field, quantity in leaves(manifest):
        if not QUANTITY.search(field):
            continue
        try:
            parse_quantity(str(quantity))
        except ValueError:
            yield Finding(path, field, f"{quantity} is not a quantity; write such as 500m, 2, 512Mi or 8Gi")
    name = (manifest.get("metadata") or {}).get("name", "unnamed")
    if not NAME.fullmatch(str(name)):
        yield Finding(path, "metadata.name", f"{name} is no name: lower-case letters, digits, hyphens and dots")
    if manifest.get("kind") == "Pod":
        for field, message in pod_faults(manifest["spec"]):
            yield Finding(path, f"spec.{field}", message)


def pod_faults(pod: dict) -> Iterator[tuple[str, str]]:
    """Yield what a pod's containers refer to and the pod does not have: volumes, and ports of probes."""
    volumes = {volume.get("name") for volume in pod.get("volumes") or []}
    for number, container in enumerate(pod.get("containers") or []):
        for place, mount in enumerate(container.get("volumeMounts") or []):
            if mount.get("name") not in volumes:
                yield f"containers.{number}.volumeMounts.{place}", f"no volume is called {mount.get('name')}"
        ports = container.get("ports") or []
        known = {port.get("name") for port in ports} | {port.get("containerPort") for port in ports}
        for probe in PROBES:
            for action in ("httpGet", "tcpSocket"):
                port = ((container.get(probe) or {}).get(action) or {}).get("port")
                if port is not None and port not in known and (ports or isinstance(port, str)):
                    yield f"containers.{number}.{probe}.{action}.port", f"the container has no port {port}"


def check_images(root: Path, path: Path, pod: dict) -> Iterator[Finding]:
    """An image of this repository is one that a Dockerfile makes, with the version that pyproject.toml says."""
    prefix, version = project.images(root)
    for number, container in enumerate(pod["containers"]):
        name, _, tag = container.get("image", "").removeprefix(f"{prefix}/").partition(":")
        if not container.get("image", "").startswith(f"{prefix}/"):
            continue
        if not (root / "docker" / f"{name}.Dockerfile").is_file():
            yield Finding(path, f"spec.containers.{number}.image", f"no docker/{name}.Dockerfile to make {name} of")
        elif tag != version:
            yield Finding(path, f"spec.containers.{number}.image", f"{name}:{tag}, but pyproject.toml says {version}")


def check_commands(root: Path, path: Path, pod: dict, stages: click.Group) -> Iterator[Finding]:
    """Check each `python -m MODULE` of a pod: is the module in src/, and do the stages take these words?"""
    for number, container in enumerate(pod["containers"]):
        words = [*(container.get("command") or []), *(container.get("args") or [])]
        if words[:2] != ["python", "-m"] or len(words) < 3:
            continue
        place, module = f"spec.containers.{number}.command", root / "src" / words[2].replace(".", "/")
        if not (module / "__main__.py").is_file() and not module.with_suffix(".py").is_file():
            yield Finding(path, place, f"python -m {words[2]}: there is no such module in src/")
        elif module.parent.name == "src":  # the team's package: its command line is the stages
            with click.Context(stages, info_name=words[2]) as context:
                try:
                    name, command, rest = stages.resolve_command(context, words[3:] or ["(none)"])
                    if command:
                        command.make_context(name, rest, parent=context)
                except click.ClickException as error:
                    yield Finding(path, place, f"{' '.join(words[2:4])}: {error.format_message()}")


def as_pod(spec: dict) -> dict:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "compiled"}, "spec": spec}
