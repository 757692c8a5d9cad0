"""The check of Argo's files: by Argo's own models with unknown fields forbidden, and by what they refer to.

A model knows the fields, not whether the step, parameter, volume or account that is named exists: Argo says that when
the workflow is submitted, or after it has run for an hour.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from .findings import Finding, as_pod, check_images, check_manifest, documents, leaves, needs

ARGO = Path("aisg-context/argo")
KUBERNETES = Path("aisg-context/k8s")
TAG = re.compile(r"\{\{(.*?)\}\}")
OF_THE_WORKFLOW = {f"workflow.{name}" for name in ("name", "namespace", "uid", "status", "failures")}
RETRY_POLICIES = ("Always", "OnFailure", "OnError", "OnTransientError")
POD_GC = ("OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess")
DURATION = re.compile(r"\d+|(\d+(\.\d+)?(ms|s|m|h))+")  # seconds, or Go's way to write one
# The fields of an Argo template and of a workflow's spec that a pod has under the same name
OF_A_POD = ("securityContext", "imagePullSecrets", "volumes", "serviceAccountName", "automountServiceAccountToken")


def check_argo(root: Path) -> Iterator[Finding]:
    """The workflow template and the workflow that submits it."""
    needs("hera")
    files = list(documents(root, ARGO))
    templates = {item["metadata"].get("name"): item for _, item in files if item["kind"] == "WorkflowTemplate"}
    for path, document in files:
        unread = list(_fields(path, document))
        yield from unread
        if unread:
            continue  # what it refers to can be read only from a valid file
        if "workflowTemplateRef" in document["spec"]:
            yield from _submission(path, document["spec"], templates)
        else:
            submitted = [
                item["spec"] for _, item in files
                if (item["spec"].get("workflowTemplateRef") or {}).get("name") == document["metadata"].get("name")
            ]  # fmt: skip
            for field, message in references(document, submitted, _objects(root, document)):
                yield Finding(path, field, message)
            yield from _pods(root, path, document["spec"])


def _fields(path: Path, document: dict) -> Iterator[Finding]:
    """Unknown fields, and values of another type."""
    import pydantic
    from hera.workflows import models

    kinds = {"Workflow": models.Workflow, "WorkflowTemplate": models.WorkflowTemplate}
    model = kinds.get(document.get("kind", ""))
    if model is None or document.get("apiVersion") != "argoproj.io/v1alpha1":
        yield Finding(path, "kind", f"{document.get('apiVersion')} {document.get('kind')} is not one of Argo's")
        return
    try:
        model.model_validate(document, extra="forbid")  # the models as shipped ignore unknown fields
    except pydantic.ValidationError as error:
        for problem in error.errors():
            message = "there is no such field" if problem["type"] == "extra_forbidden" else problem["msg"]
            yield Finding(path, ".".join(map(str, problem["loc"])), message)


def _submission(path: Path, spec: dict, templates: dict[str, dict]) -> Iterator[Finding]:
    name = spec["workflowTemplateRef"].get("name")
    if name not in templates:
        known = ", ".join(map(str, templates))
        yield Finding(path, "spec.workflowTemplateRef.name", f"no template is called {name}; there is {known}")
        return
    declared = _named((templates[name]["spec"].get("arguments") or {}).get("parameters"))
    for given in _named((spec.get("arguments") or {}).get("parameters")):
        if given not in declared:
            yield Finding(path, f"spec.arguments.parameters.{given}", f"{name} has no such parameter")


def references(document: dict, submitted: list[dict], objects: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """What a workflow template names that does not exist: (field, message).

    Args:
        submitted: the specs of the workflows that submit it, with the parameters they give.
        objects: names of objects in the cluster's manifests, by kind.
    """
    spec = document["spec"]
    templates = _named(spec.get("templates"))
    names = [item.get("name") for item in spec.get("templates") or []]
    for number, name in enumerate(names):
        if name in names[:number]:
            yield f"spec.templates.{number}.name", f"{name} is the name of another template too"
    for field in ("entrypoint", "onExit"):
        if (field == "entrypoint" or field in spec) and spec.get(field) not in templates:
            yield f"spec.{field}", f"no template is called {spec.get(field)}; there are {', '.join(templates)}"
    yield from _words(spec)
    account = spec.get("serviceAccountName")
    if account not in objects["ServiceAccount"]:
        yield "spec.serviceAccountName", f"no file under {KUBERNETES} makes the account {account} there"
    for number, volume in enumerate(spec.get("volumes") or []):
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim not in objects["PersistentVolumeClaim"]:
            yield f"spec.volumes.{number}.persistentVolumeClaim", f"no file under {KUBERNETES} claims {claim} there"
    parameters = _named((spec.get("arguments") or {}).get("parameters"))
    yield from _parameters(parameters, submitted)
    used = {spec.get("entrypoint"), spec.get("onExit")}
    for number, template in enumerate(spec.get("templates") or []):
        place = f"spec.templates.{number}"
        known = OF_THE_WORKFLOW | {f"workflow.parameters.{name}" for name in parameters}
        known |= {f"inputs.parameters.{name}" for name in _named((template.get("inputs") or {}).get("parameters"))}
        own = template.get("serviceAccountName", account)
        if own != account and own not in objects["ServiceAccount"]:
            yield f"{place}.serviceAccountName", f"no file under {KUBERNETES} makes the account {own} there"
        yield from _retries(template, place)
        yield from _steps(template, place, templates, known)
        used |= {step.get("template") for group in template.get("steps") or [] for step in group}
        yield from _tags({key: value for key, value in template.items() if key != "steps"}, place, known)
    for number, name in enumerate(names):
        if name not in used:
            yield f"spec.templates.{number}.name", f"no step calls {name}"


def _parameters(parameters: dict[str, dict], submitted: list[dict]) -> Iterator[tuple[str, str]]:
    for name, item in parameters.items():
        if "value" not in item and any(name not in _named(one["arguments"]["parameters"]) for one in submitted):
            yield f"spec.arguments.parameters.{name}", "it has no value, and a workflow that submits this gives none"
        if "enum" in item and "value" in item and item["value"] not in item["enum"]:
            yield f"spec.arguments.parameters.{name}", f"{item['value']} is none of {', '.join(map(str, item['enum']))}"


def _words(spec: dict) -> Iterator[tuple[str, str]]:
    """Values that Argo knows, where its models take any."""
    strategy = (spec.get("podGC") or {}).get("strategy")
    if strategy is not None and strategy not in POD_GC:
        yield "spec.podGC.strategy", f"{strategy} is none of {', '.join(POD_GC)}"
    for number, template in enumerate(spec.get("templates") or []):
        retry, place = template.get("retryStrategy") or {}, f"spec.templates.{number}.retryStrategy"
        if retry.get("retryPolicy", "OnFailure") not in RETRY_POLICIES:
            yield f"{place}.retryPolicy", f"{retry['retryPolicy']} is none of {', '.join(RETRY_POLICIES)}"
        if not str(retry.get("limit", 0)).isdecimal():
            yield f"{place}.limit", f"{retry['limit']} is no number"
        for name in ("duration", "maxDuration", "cap"):
            value = (retry.get("backoff") or {}).get(name, "1s")
            if not DURATION.fullmatch(str(value)):
                yield f"{place}.backoff.{name}", f"{value} is no duration; write such as 20s, 5m or 1h"


def _retries(template: dict, place: str) -> Iterator[tuple[str, str]]:
    """Argo ends every retry maxDuration after the first try began, which leaves a late one no time."""
    longest = ((template.get("retryStrategy") or {}).get("backoff") or {}).get("maxDuration")
    if longest is None:
        return
    parts = re.findall(r"(\d+)([hms]?)", str(longest))
    seconds = sum(int(number) * {"h": 3600, "m": 60}.get(unit, 1) for number, unit in parts)
    if seconds <= template.get("activeDeadlineSeconds", 0):
        yield (
            f"{place}.retryStrategy.backoff.maxDuration",
            f"{longest} after the first try began, every other is ended; one alone may take "
            f"{template['activeDeadlineSeconds']} s (activeDeadlineSeconds)",
        )


def _steps(template: dict, place: str, templates: dict[str, dict], known: set[str]) -> Iterator[tuple[str, str]]:
    """The steps of a template: whom they call, with what, and what of earlier steps they read."""
    for number, group in enumerate(template.get("steps") or []):
        made = set()
        for step in group:
            field = f"{place}.steps.{number}.{step.get('name')}"
            if not step.get("name"):
                yield field, "a step needs a name"
            called = templates.get(step.get("template"))
            if called is None:
                yield field, f"no template is called {step.get('template')}; there are {', '.join(templates)}"
                continue
            given = _named((step.get("arguments") or {}).get("parameters"))
            taken = _named((called.get("inputs") or {}).get("parameters"))
            for name in given.keys() - taken.keys():
                yield field, f"{step['template']} has no input {name}"
            for name, item in taken.items():
                if name not in given and "value" not in item and "default" not in item:
                    yield field, f"{step['template']} needs the input {name}"
            yield from _tags(step, field, known)
            outputs = _named((called.get("outputs") or {}).get("parameters"))
            made |= {f"steps.{step.get('name')}.outputs.parameters.{name}" for name in outputs}
            made |= {f"steps.{step.get('name')}.{name}" for name in ("status", "id", "outputs.result")}
        known = known | made


def _tags(value, place: str, known: set[str]) -> Iterator[tuple[str, str]]:
    """Each name in double braces in a value must be known there."""
    for field, text in leaves(value, place):
        for tag in TAG.findall(text) if isinstance(text, str) else ():
            if tag.strip() not in known:
                yield field, f"{tag} in double braces is nothing that is known here"


def _pods(root: Path, path: Path, spec: dict) -> Iterator[Finding]:
    """Each container as the pod that Argo makes of it, by Kubernetes' own schemas."""
    for number, template in enumerate(spec.get("templates") or []):
        if "container" not in template:
            continue
        container = {"name": "main", **template["container"]}
        pod = {key: template.get(key, spec.get(key)) for key in OF_A_POD if key in spec or key in template}
        pod["volumes"] = [*(spec.get("volumes") or []), *(template.get("volumes") or [])]
        pod["containers"] = [container]
        for finding in (*check_manifest(path, as_pod(pod)), *check_images(root, path, pod)):
            field = finding.field.replace("spec.containers.0", "container")
            yield finding._replace(field=f"spec.templates.{number}.{field}")


def _objects(root: Path, document: dict) -> dict[str, set[str]]:
    """The names of the accounts and claims that the cluster's manifests make in the namespace of a document."""
    namespace = document["metadata"].get("namespace")
    found = {"ServiceAccount": {"default"}, "PersistentVolumeClaim": set()}
    for _, item in documents(root, KUBERNETES):
        if item.get("kind") in found and item["metadata"].get("namespace") == namespace:
            found[item["kind"]].add(item["metadata"]["name"])
    return found


def _named(items: list[dict] | None) -> dict[str, dict]:
    return {item.get("name", ""): item for item in items or []}
