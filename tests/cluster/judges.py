"""Why the real thing refuses an edited file: kustomize, the API server's strict apply, or Argo's controller.

The API server is asked over HTTP, as kubectl asks it: to start kubectl a thousand times would take minutes.
"""

import json
import shutil
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from .conftest import Cluster, documents, manifests, until
from .edits import CONTEXT, Edit

PACKAGING = "model-packaging"  # the namespace of Argo's files
CONTROLLER = 300  # seconds that Argo's controller may take for all workflows


class Refused(Exception):
    """What the API server says."""


class Api:
    """The API server, as its administrator."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.server, self.token = cluster["server"], config["users"][0]["user"]["token"]
        self.context = ssl.create_default_context(cafile=cluster["certificate-authority"])

    def __call__(self, method: str, path: str, text: str = "") -> dict:
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/yaml"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": "application/json"}
        request = urllib.request.Request(f"{self.server}{path}", text.encode() or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300, context=self.context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode()
            raise Refused(json.loads(said)["message"] if said.startswith("{") else said) from None

    @cached_property
    def kinds(self) -> dict[tuple[str, str], tuple[str, bool]]:
        """Return the path, and whether it is in a namespace, of each apiVersion and kind."""
        versions = [one["groupVersion"] for group in self("GET", "/apis")["groups"] for one in group["versions"]]
        paths = {"v1": "/api/v1", **{version: f"/apis/{version}" for version in versions}}
        return {
            (version, one["kind"]): (f"{path}|{one['name']}", one["namespaced"])
            for version, path in paths.items()
            for one in self("GET", path)["resources"]
            if "/" not in one["name"]
        }

    def send(self, text: str, dry: bool) -> list[dict]:
        """Apply each document, or create what has no name; return what there is then.

        Raises:
            Refused: with what the API server says.
        """
        nodes = [node for node in yaml.compose_all(text, yaml.CSafeLoader) if isinstance(node, yaml.MappingNode)]
        return [self.send_one(text[node.start_mark.index : node.end_mark.index], dry) for node in nodes]

    def send_one(self, text: str, dry: bool) -> dict:
        item = yaml.load(text, yaml.CSafeLoader)
        metadata = item.get("metadata") if isinstance(item.get("metadata"), dict) else {}
        key = str(item.get("apiVersion")), str(item.get("kind"))
        if key not in self.kinds:
            raise Refused(f"there is no {' '.join(key)}")
        path, namespaced = self.kinds[key]
        space = f"/namespaces/{quote(str(metadata.get('namespace') or 'default'))}" if namespaced else ""
        path = path.replace("|", f"{space}/")
        flags = f"fieldManager=tests&fieldValidation=Strict{'&dryRun=All' if dry else ''}"
        if metadata.get("name") or not metadata.get("generateName"):
            return self("PATCH", f"{path}/{quote(str(metadata.get('name')))}?{flags}&force=true", text)
        return self("POST", f"{path}?{flags}", text)


def verdicts(cluster: Cluster, repository: Path, edits: list[Edit], pods: list[list[dict]]) -> list[str]:
    """Return for each edit why it is refused; an empty text: it is not.

    Args:
        repository: as it was before the edits.
        pods: those that Polyaxon makes of each edited Polyaxonfile.
    """
    cluster.namespaces_of(manifests(repository))
    api, submitted = Api(cluster.kubeconfig), dict[int, list[str]]()

    def judge(number: int) -> str:
        edit = edits[number]
        try:
            if edit.part == "argo":
                submitted[number] = submit(api, repository, edit, f"edit-{number}")
            elif edit.part == "seldon":
                served(cluster, api, repository, edit)
            else:
                api.send(templates(pods[number]) if edit.part == "polyaxon" else edit.text, dry=True)
        except Refused as refused:
            return str(refused)
        return ""

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(judge, range(len(edits))))
    decided = decisions(api) if submitted else {}
    for number, names in submitted.items():
        said[number] = next(filter(None, (decided[name] for name in names)), "")
    return said


def templates(pods: Iterable[dict]) -> str:
    """Return the pods as objects that nothing comes of, and that are held to the same rules."""
    kind = {"apiVersion": "v1", "kind": "PodTemplate"}
    found = [{**kind, "metadata": {"name": f"pod-{number}"}, "template": pod} for number, pod in enumerate(pods)]
    return yaml.safe_dump_all(found) if found else ""


def served(cluster: Cluster, api: Api, repository: Path, edit: Edit) -> None:
    """Judge what kustomize builds of each folder, and the pods in it as Seldon's operator makes them."""
    with tempfile.TemporaryDirectory() as folder:
        seldon = Path(folder) / CONTEXT / "seldon"
        shutil.copytree(repository / CONTEXT / "seldon", seldon)
        edited = Path(folder) / edit.path
        edited.write_text(edit.text, encoding="utf-8")
        overlays = sorted(seldon.glob("overlays/*"))
        for path in [edited.parent] if edited.parent in overlays else [seldon / "base", *overlays]:
            done = cluster("kustomize", str(path), check=False)
            if done.returncode:
                raise Refused(done.stderr.strip())
            api.send(done.stdout, dry=True)
            api.send(templates(pods_of(done.stdout)), dry=True)


def pods_of(built: str) -> Iterator[dict]:
    for item in yaml.load_all(built, yaml.CSafeLoader):
        for predictor in item["spec"]["predictors"]:
            for one in predictor.get("componentSpecs") or []:
                yield {"metadata": one.get("metadata"), "spec": one.get("spec")}


def submit(api: Api, repository: Path, edit: Edit, namespace: str) -> list[str]:
    """Install the workflow template in a namespace of its own and submit it; return the workflows that there are then.

    A pod of a later step is made by a second workflow, which begins with the step that was edited.
    """
    accounts = [item for item in documents(repository / CONTEXT / "k8s") if item["kind"] == "ServiceAccount"]
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PACKAGING}}, *accounts]
    names = [f"{CONTEXT}/argo/{name}" for name in ("package-model.yml", "model-pkg.yml")]
    template, workflow = (edit.text if name == edit.path else (repository / name).read_text("utf-8") for name in names)
    api.send(yaml.safe_dump_all(objects).replace(PACKAGING, namespace), dry=False)
    api.send(template.replace(PACKAGING, namespace), dry=False)
    if edit.path == names[0]:
        workflow += f"\n---\n{alone(template, workflow, edit)}"
    made = api.send(workflow.replace(PACKAGING, namespace), dry=False)
    return [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in made]


def alone(template: str, workflow: str, edit: Edit) -> str:
    """Return a workflow of the edited step alone, with a word for each of its inputs; empty: it has no container."""
    match edit.field:
        case (0, "spec", "templates", int(number), *_):
            steps = yaml.load(template, yaml.CSafeLoader)["spec"]["templates"]
            step: Any = steps[number] if number < len(steps) else None
            if not isinstance(step, dict) or "container" not in step:
                return ""
            found = yaml.load(workflow, yaml.CSafeLoader)
            found["spec"]["entrypoint"] = step.get("name")
            inputs = (step.get("inputs") or {}).get("parameters", [])
            found["spec"]["arguments"]["parameters"] += [{"name": one["name"], "value": "word"} for one in inputs]
            return yaml.safe_dump(found)
    return ""


def decisions(api: Api) -> dict[str, str]:
    """Return for each workflow what its controller refuses, once it has decided about all; empty: it made a pod."""

    def decided() -> dict[str, str | None]:
        items = api("GET", "/apis/argoproj.io/v1alpha1/workflows")["items"]
        found = {f"{one['metadata']['namespace']}/{one['metadata']['name']}": decision(one) for one in items}
        return {} if None in found.values() else found

    return until(decided, CONTROLLER, "the controller has not decided about each workflow")


def decision(workflow: dict) -> str | None:
    status = workflow.get("status", {})
    nodes = list(status.get("nodes", {}).values())
    for one in (status, *nodes):
        if one.get("phase") in ("Error", "Failed"):
            return one.get("message") or "it failed"
    running = [one for one in nodes if one["type"] in ("Pod", "Suspend") and one.get("phase") in ("Pending", "Running")]
    return "" if running or status.get("phase") == "Succeeded" else None
