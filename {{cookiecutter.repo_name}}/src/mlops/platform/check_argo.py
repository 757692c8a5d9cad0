"""The check of Argo's files: by Argo's own models with unknown fields forbidden, and by what they refer to.

A model knows the fields, not whether the step or parameter that is named exists: Argo says that when the workflow is
submitted, or after it has run for an hour.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pydantic
from hera.workflows import models

from .manifests import Fault, Finding, documents, faults, leaves, pod_faults

ARGO = Path("aisg-context/argo")
KINDS = {"Workflow": models.Workflow, "WorkflowTemplate": models.WorkflowTemplate}
TAG = re.compile(r"\{\{(.*?)\}\}")
OF_THE_WORKFLOW = {f"workflow.{name}" for name in ("name", "namespace", "uid", "status", "failures")}
# The fields of an Argo template and of a workflow's spec that a pod has under the same name
OF_A_POD = ("securityContext", "imagePullSecrets", "serviceAccountName", "automountServiceAccountToken")


def check_argo(root: Path, stages: click.Group) -> Iterator[Finding]:
    """The workflow templates, and the workflows that submit them."""
    read = []
    for path, document in documents(root, ARGO):
        wrong = list(_fields(document))
        yield from (Finding(path, *fault) for fault in wrong)
        if not wrong:  # what it refers to can be read only from a valid one
            read.append((path, document["metadata"].get("name"), document["spec"]))
    templates = {name: spec for _, name, spec in read if "templates" in spec}
    for path, _, spec in read:
        if "templates" in spec:
            by_rules = faults({"spec": spec}, "rules.yml#/WorkflowTemplate")
            wrong = [*by_rules, *references(spec), *_pods(root, spec, stages)]
        else:
            wrong = list(_submission(spec, templates))
        yield from (Finding(path, *fault) for fault in wrong)


def _fields(document: dict) -> Iterator[Fault]:
    """Unknown fields, and values of another type."""
    model = KINDS.get(document.get("kind", ""))
    if model is None or document.get("apiVersion") != "argoproj.io/v1alpha1":
        yield "kind", f"{document.get('apiVersion')} {document.get('kind')} is not one of Argo's"
        return
    try:
        model.model_validate(document, extra="forbid")  # the models as shipped ignore unknown fields
    except pydantic.ValidationError as error:
        for problem in error.errors():
            message = "there is no such field" if problem["type"] == "extra_forbidden" else problem["msg"]
            yield ".".join(map(str, problem["loc"])), message


def _submission(spec: dict, templates: dict[str, dict]) -> Iterator[Fault]:
    """The parameters that a workflow gives to a template: those that it has, and all that have no value."""
    name = (spec.get("workflowTemplateRef") or {}).get("name", "")
    declared, given = _parameters(templates.get(name, {}), "arguments"), _parameters(spec, "arguments")
    for parameter in sorted(given.keys() - declared.keys() if name in templates else ()):
        yield f"spec.arguments.parameters.{parameter}", f"{name} has no such parameter"
    for parameter, item in declared.items():
        if "value" not in item and parameter not in given:
            yield "spec.arguments.parameters", f"{name} has no value for {parameter}, and none is given here"


def references(spec: dict) -> Iterator[Fault]:
    """Yield what a workflow template names and does not have: templates, parameters, outputs."""
    templates = {item.get("name"): item for item in spec["templates"]}
    if len(templates) < len(spec["templates"]):
        yield "spec.templates", "two have the same name"
    for field in ("entrypoint", "onExit"):
        if (field == "entrypoint" or field in spec) and spec.get(field) not in templates:
            yield f"spec.{field}", _no_template(spec.get(field), templates)
    parameters = _parameters(spec, "arguments")
    for name, item in parameters.items():
        if "enum" in item and "value" in item and item["value"] not in item["enum"]:
            yield f"spec.arguments.parameters.{name}", f"{item['value']} is none of {', '.join(map(str, item['enum']))}"
    for number, template in enumerate(spec["templates"]):
        place = f"spec.templates.{number}"
        known = OF_THE_WORKFLOW | {f"workflow.parameters.{name}" for name in parameters}
        known |= {f"inputs.parameters.{name}" for name in _parameters(template, "inputs")}
        yield from _retries(template, place)
        yield from _steps(template, place, templates, known)
        yield from _tags({key: value for key, value in template.items() if key != "steps"}, place, known)


def _retries(template: dict, place: str) -> Iterator[Fault]:
    """Argo ends every retry maxDuration after the first try began, which leaves a late one no time."""
    longest = str(((template.get("retryStrategy") or {}).get("backoff") or {}).get("maxDuration", ""))
    parts = re.findall(r"(\d+)([hms]?)", longest)
    seconds = sum(int(number) * {"h": 3600, "m": 60}.get(unit, 1) for number, unit in parts)
    deadline = template.get("activeDeadlineSeconds", 0)
    if parts and seconds <= deadline:
        yield (
            f"{place}.retryStrategy.backoff.maxDuration",
            f"{longest} after the first try began, every other is ended; one alone may take {deadline} s "
            "(activeDeadlineSeconds)",
        )


def _steps(template: dict, place: str, templates: dict[str, dict], known: set[str]) -> Iterator[Fault]:
    """The steps of a template: whom they call, with what, and what of earlier steps they read."""
    for number, group in enumerate(template.get("steps") or []):
        made = set()
        for step in group:
            field = f"{place}.steps.{number}.{step.get('name')}"
            called = templates.get(step.get("template"))
            if called is None:
                yield field, _no_template(step.get("template"), templates)
                continue
            given, taken = _parameters(step, "arguments"), _parameters(called, "inputs")
            for name in sorted(given.keys() - taken.keys()):
                yield field, f"{step['template']} has no input {name}"
            for name, item in taken.items():
                if name not in given and not {"value", "default"} & item.keys():
                    yield field, f"{step['template']} needs the input {name}"
            yield from _tags(step, field, known)
            results = [*(f"outputs.parameters.{name}" for name in _parameters(called, "outputs")), "outputs.result"]
            made |= {f"steps.{step.get('name')}.{result}" for result in (*results, "status", "id")}
        known = known | made


def _tags(value, place: str, known: set[str]) -> Iterator[Fault]:
    """Each name in double braces in a value must be known there."""
    for field, text in leaves(value, place):
        for tag in TAG.findall(text) if isinstance(text, str) else ():
            if tag.strip() not in known:
                yield field, f"{tag} in double braces is nothing that is known here"


def _pods(root: Path, spec: dict, stages: click.Group) -> Iterator[Fault]:
    """Each container as the pod that Argo makes of it."""
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
