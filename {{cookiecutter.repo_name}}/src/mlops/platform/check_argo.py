"""The check of Argo's files: by Argo's own models, with unknown fields forbidden, and by what they refer to.

Argo itself says that a step or parameter does not exist when the workflow is submitted, or after an hour.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pydantic
from hera.workflows import models

from .check_kubernetes import Fault, documents, faults, findings, leaves, pod_faults

ARGO = Path("aisg-context/argo")
KINDS = {"Workflow": models.Workflow, "WorkflowTemplate": models.WorkflowTemplate}
# Variables that need no declaration, and expressions, which Argo evaluates
ALWAYS_KNOWN = re.compile(
    r"=.*|retries|lastRetry\..+|(pod|node)\.name|workflow\.((annotations|labels|creationTimestamp)\..+|creationTimestamp|duration"
    r"|failures|mainEntrypoint|name|namespace|parameters|priority|scheduledTime|serviceAccountName|status|uid)"
)
RESULTS = ("outputs.result", "status", "id", "exitCode", "startedAt", "finishedAt")  # of a step, without declaration
# The fields of an Argo template and of a workflow's spec that a pod has under the same name
OF_A_POD = ("securityContext", "imagePullSecrets", "serviceAccountName", "automountServiceAccountToken")


def check_argo(root: Path, stages: click.Group) -> Iterator[str]:
    """Check the workflow templates, and the workflows that submit them."""
    valid = []
    for path, document in documents(root, ARGO):
        wrong = list(_field_faults(document))
        yield from findings(path, wrong)
        if not wrong:  # what it refers to can be read only from a valid one
            valid.append((path, document["metadata"].get("name"), document["spec"]))
    templates = {name: spec for _, name, spec in valid if "templates" in spec}
    for path, _, spec in valid:
        if "templates" in spec:
            yield from findings(path, _reference_faults(spec))
            yield from findings(path, _pod_faults(root, spec, stages))
        elif spec["workflowTemplateRef"].get("name") in templates:
            name = spec["workflowTemplateRef"]["name"]
            messages = _mismatches(name, _parameters(spec, "arguments"), _parameters(templates[name], "arguments"))
            yield from findings(path, (("spec.arguments.parameters", message) for message in messages))


def _field_faults(document: dict) -> Iterator[Fault]:
    """Yield unknown fields, and values of another type."""
    model = KINDS.get(str(document.get("kind")))
    if model is None or document.get("apiVersion") != "argoproj.io/v1alpha1":
        yield "kind", f"{document.get('apiVersion')} {document.get('kind')} is not one of Argo's"
        return
    yield from faults(document, "rules.yml#/workflow")
    try:
        model.model_validate(document, extra="forbid")  # the models as shipped ignore unknown fields
    except pydantic.ValidationError as error:
        for problem in error.errors():
            message = "there is no such field" if problem["type"] == "extra_forbidden" else problem["msg"]
            yield ".".join(map(str, problem["loc"])), message


def _mismatches(called: str, given: dict[str, dict], taken: dict[str, dict]) -> Iterator[str]:
    """Yield where the parameters that are given do not fit those that are taken."""
    for name in sorted(given.keys() - taken.keys()):
        yield f"{called} has no parameter {name}"
    for name, item in taken.items():
        if name not in given and not {"value", "default"} & item.keys():
            yield f"{called} needs a value for {name}"


def _reference_faults(spec: dict) -> Iterator[Fault]:
    """Yield what a workflow template names and does not have: templates, parameters, outputs."""
    templates = {item.get("name"): item for item in spec["templates"]}
    for field in ("entrypoint", *({"onExit"} & spec.keys())):
        if spec.get(field) not in templates:
            yield f"spec.{field}", _no_template(spec.get(field), templates)
    parameters = _parameters(spec, "arguments")
    for name, item in parameters.items():
        allowed = item.get("enum", [item.get("value")])
        if "value" in item and item["value"] not in allowed:
            yield f"spec.arguments.parameters.{name}", f"{item['value']} is not one of {', '.join(map(str, allowed))}"
    for number, template in enumerate(spec["templates"]):
        place = f"spec.templates.{number}"
        known = {f"workflow.parameters.{name}" for name in parameters}
        known |= {f"inputs.parameters.{name}" for name in _parameters(template, "inputs")}
        yield from _retry_faults(template, place)
        yield from _step_faults(template, place, templates, known)
        yield from _tag_faults({key: value for key, value in template.items() if key != "steps"}, place, known)


def _retry_faults(template: dict, place: str) -> Iterator[Fault]:
    """Yield a maxDuration that leaves no time for a second try: Argo counts it from the start of the first."""
    longest = str(((template.get("retryStrategy") or {}).get("backoff") or {}).get("maxDuration", ""))
    parts = re.findall(r"(\d+)([hms]?)", longest)
    seconds = sum(int(number) * {"h": 3600, "m": 60}.get(unit, 1) for number, unit in parts)
    deadline = template.get("activeDeadlineSeconds", 0)
    if parts and seconds <= deadline:
        message = f"{longest} leaves no time for a second try: one may take {deadline} s (activeDeadlineSeconds)"
        yield f"{place}.retryStrategy.backoff.maxDuration", message


def _step_faults(template: dict, place: str, templates: dict[str, dict], known: set[str]) -> Iterator[Fault]:
    """Yield steps that call an unknown template, give it other parameters, or read what no earlier step made."""
    names = [step.get("name") for group in template.get("steps") or [] for step in group]
    for number, group in enumerate(template.get("steps") or []):
        made = set()
        for step in group:
            field = f"{place}.steps.{number}.{step.get('name')}"
            if names.count(step.get("name")) > 1:
                yield field, "another step has the same name"
            called = templates.get(step.get("template"))
            if called is None:
                yield field, _no_template(step.get("template"), templates)
                continue
            for message in _mismatches(step["template"], _parameters(step, "arguments"), _parameters(called, "inputs")):
                yield field, message
            items = {"item"} if {"withItems", "withParam", "withSequence"} & step.keys() else set()
            yield from _tag_faults(step, field, known | items)
            results = [f"outputs.parameters.{name}" for name in _parameters(called, "outputs")]
            made |= {f"steps.{step.get('name')}.{result}" for result in (*results, *RESULTS)}
        known = known | made


def _tag_faults(value, place: str, known: set[str]) -> Iterator[Fault]:
    """Yield each name in double braces that is not known there."""
    for field, text in leaves(value, place):
        for tag in re.findall(r"\{\{(.*?)\}\}", text) if isinstance(text, str) else ():
            if tag.strip() not in known and not ALWAYS_KNOWN.fullmatch(tag.strip()):
                yield field, f"{tag} in double braces is not known here"


def _pod_faults(root: Path, spec: dict, stages: click.Group) -> Iterator[Fault]:
    """Yield what is wrong with each container as the pod that Argo makes of it."""
    claims = [{"name": claim["metadata"]["name"]} for claim in spec.get("volumeClaimTemplates") or []]
    for number, template in enumerate(spec["templates"]):
        if "container" in template:
            pod = {key: template.get(key, spec.get(key)) for key in OF_A_POD if key in spec or key in template}
            pod["volumes"] = [*claims, *(spec.get("volumes") or []), *(template.get("volumes") or [])]
            pod["containers"] = [{"name": "main", **template["container"]}]
            for field, message in pod_faults(root, pod, stages):
                yield f"spec.templates.{number}.{field.replace('containers.0', 'container')}", message


def _no_template(name: str | None, templates: dict) -> str:
    return f"no template is called {name}; there are {', '.join(map(str, templates))}"


def _parameters(item: dict, role: str) -> dict[str, dict]:
    """Return the parameters of a template or a step by name; the role is arguments, inputs or outputs."""
    return {one.get("name", ""): one for one in (item.get(role) or {}).get("parameters") or []}
