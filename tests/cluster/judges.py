"""Why the real thing refuses an edited file: kustomize, the API server by a strict apply, or Argo's controller."""

import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from .conftest import Cluster, documents, manifests, until
from .edits import CONTEXT, Edit

APPLY = ("apply", "--server-side", "--force-conflicts", "--validate=strict", "--filename=-")
CREATE = (
    "create",
    "--validate=strict",
    "--filename=-",
    '--output=jsonpath={.metadata.namespace}/{.metadata.name}{"\\n"}',
)
PACKAGING = "model-packaging"  # the namespace of Argo's files
CONTROLLER = 180  # seconds that Argo's controller may take for all workflows


def verdicts(cluster: Cluster, repository: Path, edits: list[Edit], pods: list[list[dict]]) -> list[str]:
    """Return for each edit why it is refused; an empty text: it is not.

    Args:
        repository: as it was before the edits.
        pods: those that Polyaxon makes of each edited Polyaxonfile.
    """
    cluster.namespaces_of(manifests(repository))
    submitted: dict[int, list[str]] = {}

    def judge(number: int) -> str:
        edit = edits[number]
        match edit.part:
            case "polyaxon":
                return applied(cluster, templates(pods[number]))
            case "seldon":
                return served(cluster, repository, edit)
            case "argo":
                said, submitted[number] = submit(cluster, repository, edit, f"edit-{number}")
                return said
        return applied(cluster, edit.text)

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(judge, range(len(edits))))
    decided = decisions(cluster) if submitted else {}
    for number, names in submitted.items():
        said[number] = said[number] or next(filter(None, (decided[name] for name in names)), "")
    return said


def refusal(cluster: Cluster, *words: str, text: str) -> tuple[str, str]:
    """Return why kubectl fails, and what it says."""
    done = cluster(*words, text=text, check=False)
    return (done.stderr.strip() or "it fails") if done.returncode else "", done.stdout


def applied(cluster: Cluster, text: str) -> str:
    return refusal(cluster, *APPLY, "--dry-run=server", text=text)[0] if text else ""


def templates(pods: list[dict]) -> str:
    """Return the pods as an object of Kubernetes' that nothing comes of, and that is held to the same rules."""
    kind = {"apiVersion": "v1", "kind": "PodTemplate"}
    found = [{**kind, "metadata": {"name": f"pod-{number}"}, "template": pod} for number, pod in enumerate(pods)]
    return yaml.safe_dump_all(found) if found else ""


def served(cluster: Cluster, repository: Path, edit: Edit) -> str:
    """Judge what kustomize builds of each folder, and the pods in it as Seldon's operator makes them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(repository / CONTEXT / "seldon", root / CONTEXT / "seldon")
        (root / edit.path).write_text(edit.text, encoding="utf-8")
        built = ""
        for path in sorted(root.rglob("kustomization.yml")):
            done = cluster("kustomize", str(path.parent), check=False)
            if done.returncode:
                return done.stderr.strip()
            built += f"---\n{done.stdout}"
    said = applied(cluster, built)
    if said:
        return said
    predictors = [one for item in yaml.safe_load_all(built) if item for one in item["spec"]["predictors"]]
    return applied(cluster, templates([
        {"metadata": item.get("metadata", {}), "spec": item.get("spec")}
        for one in predictors for item in one.get("componentSpecs", [])
    ]))  # fmt: skip


def submit(cluster: Cluster, repository: Path, edit: Edit, namespace: str) -> tuple[str, list[str]]:
    """Install the workflow template in a namespace of its own and submit it; return the workflows that there are then.

    A pod of a later step is made by a second workflow, which begins with the step that was edited.
    """
    accounts = [item for item in documents(repository / CONTEXT / "k8s") if item["kind"] == "ServiceAccount"]
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PACKAGING}}, *accounts]
    names = [f"{CONTEXT}/argo/{name}" for name in ("package-model.yml", "model-pkg.yml")]
    template, workflow = (edit.text if name == edit.path else (repository / name).read_text("utf-8") for name in names)
    if edit.path == names[0]:
        workflow += f"\n---\n{alone(template, workflow, edit)}"
    own = f"{yaml.safe_dump_all(objects)}\n---\n{template}".replace(PACKAGING, namespace)
    said, _ = refusal(cluster, *APPLY, text=own)
    if said:
        return said, []
    said, made = refusal(cluster, *CREATE, text=workflow.replace(PACKAGING, namespace))
    return said, made.split()


def alone(template: str, workflow: str, edit: Edit) -> str:
    """Return a workflow of the edited step alone, with a word for each of its inputs; empty: it has no container."""
    match edit.field:
        case (0, "spec", "templates", int(number), *_):
            steps = yaml.safe_load(template)["spec"]["templates"]
            step: Any = steps[number] if number < len(steps) else None
            if not isinstance(step, dict) or "container" not in step:
                return ""
            found = yaml.safe_load(workflow)
            found["spec"]["entrypoint"] = step.get("name")
            inputs = (step.get("inputs") or {}).get("parameters", [])
            found["spec"]["arguments"]["parameters"] += [{"name": one["name"], "value": "word"} for one in inputs]
            return json.dumps(found)
    return ""


def decisions(cluster: Cluster) -> dict[str, str]:
    """Return for each workflow what its controller refuses, once it has decided about all; empty: it made a pod."""

    def decided() -> dict[str, str | None]:
        items = cluster.get("workflows", "--all-namespaces")["items"]
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
