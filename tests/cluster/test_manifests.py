"""A real API server takes every manifest of a repository, for every pair of choices, and knows each of its fields.

Argo's real controller takes the workflow from its first step to its last, each step reporting as its own account, and
no account may do more than it needs.
"""

import json
import subprocess
from pathlib import Path

import pytest
from test_render import EVERY_PAIR, in_words

from .conftest import SELDON, Cluster, documents, manifests, templates, until

# Each name as long as the answers' rules let it be
LONGEST = {"repo_name": "r" * 40, "author_name": "a" * 14, "gcr_personal_subdir": "Yes", "project_name": "Long"}
NEVER = {"secrets", "pods/exec", "pods/attach", "serviceaccounts/token", "roles", "rolebindings", "configmaps", "*"}
STEPS_END = 120  # seconds for the workflow, without the work of its steps


def said(done: subprocess.CompletedProcess) -> str:
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "answers", [*EVERY_PAIR, LONGEST], ids=lambda answers: answers.get("repo_name") or in_words(answers)
)
def test_every_manifest_is_taken(bake, cluster, answers):
    found = manifests(bake(**answers))
    cluster.namespaces_of(found)
    done = cluster.apply((item for item in found if "name" in item["metadata"]), "--dry-run=server", check=False)
    assert done.returncode == 0, said(done)
    for item in found:
        if "generateName" in item["metadata"]:  # which apply does not know
            cluster.create(item, "--dry-run=server")


def test_a_misspelt_field_is_not_taken(bake, cluster):
    """The judge itself: each kind of object, with one field that it does not have."""
    found = [item for item in manifests(bake()) if "name" in item["metadata"]]
    cluster.namespaces_of(found)
    for item in {item["kind"]: item for item in found}.values():
        done = cluster.apply([item | {"spce": {}}], "--dry-run=server", check=False)
        assert done.returncode and "spce" in said(done), item["kind"]


def accounts(repository: Path) -> list[str]:
    found = (item["metadata"] for item in manifests(repository) if item["kind"] == "ServiceAccount")
    return [f"system:serviceaccount:{item['namespace']}:{item['name']}" for item in found]


def rules_of(cluster: Cluster, account: str, namespace: str) -> set[tuple[str, str]]:
    """Return what the API server lets an account do in a namespace: verbs and resources."""
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    review = kind | {"spec": {"namespace": namespace}}
    # kubectl's own validation lists the CRDs, which these accounts may not
    rules = cluster.create(review, f"--as={account}", "--validate=false")["status"]["resourceRules"]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def test_no_account_may_do_what_would_give_it_more(cluster, installed):
    namespaces = {item["metadata"]["name"] for item in cluster.get("namespaces")["items"]}
    own = {item["metadata"].get("namespace") for item in manifests(installed)}
    for account in accounts(installed):
        for namespace in namespaces:
            everybody = rules_of(cluster, f"system:serviceaccount:{namespace}:nobody", namespace)
            rules = rules_of(cluster, account, namespace) - everybody
            assert not rules or namespace in own, f"{account} in {namespace}: {rules}"
            assert not NEVER & {resource for _, resource in rules}, f"{account} in {namespace}: {rules}"
            assert not {"*", "delete", "deletecollection", "impersonate", "escalate", "bind"} & {
                verb for verb, _ in rules
            }, f"{account} in {namespace}: {rules}"


def test_only_the_step_that_deploys_may_change_deployments(cluster, installed):
    may = set()
    for item, step in templates(installed):
        if "mlops.platform.deploy" in step["container"]["command"]:
            name = step.get("serviceAccountName", item["spec"]["serviceAccountName"])
            may.add(f"system:serviceaccount:{item['metadata']['namespace']}:{name}")
    assert may
    resource = f"seldondeployments.{SELDON}"
    can = {account for account in accounts(installed) if cluster.may(account, "patch", resource, "seldon")}
    assert can == may
    assert not [account for account in can if cluster.may(account, "delete", resource, "seldon")]
    assert not [account for account in accounts(installed) if cluster.may(account, "patch", resource, "default")]


def submitted(cluster: Cluster, repository: Path, **parameters: str) -> dict:
    """Submit the repository's workflow as model-pkg.yml has it."""
    (workflow,) = [item for item in documents(repository / "aisg-context/argo") if item["kind"] == "Workflow"]
    given = [item for item in workflow["spec"]["arguments"]["parameters"] if item["name"] not in parameters]
    given += [{"name": name, "value": value} for name, value in parameters.items()]
    return cluster.create(workflow | {"spec": workflow["spec"] | {"arguments": {"parameters": given}}})


def pods_of(cluster: Cluster, workflow: dict) -> list[dict]:
    selector = f"--selector=workflows.argoproj.io/workflow={workflow['metadata']['name']}"
    return cluster.get("pods", f"--namespace={workflow['metadata']['namespace']}", selector)["items"]


@pytest.mark.parametrize("answers", EVERY_PAIR, ids=in_words)
def test_argo_takes_the_workflow_and_makes_its_first_pod(bake, cluster, installed, answers):
    repository = bake(**answers)
    cluster.apply(item for item in documents(repository / "aisg-context/argo") if "name" in item["metadata"])
    workflow = submitted(cluster, repository)
    (pod,) = until(lambda: pods_of(cluster, workflow), STEPS_END, "no pod")
    name, place = workflow["metadata"]["name"], f"--namespace={workflow['metadata']['namespace']}"
    assert pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"].startswith(f"{name}[0].")
    cluster("delete", "workflow", name, place, "--wait=false")


def finish(cluster: Cluster, pod: dict, node: dict, outputs: list[str], code: int = 0) -> None:
    """Do as the node and Argo's executor do for a step that ends: report its outputs, as its account, and end."""
    metadata = pod["metadata"]
    account = f"system:serviceaccount:{metadata['namespace']}:{pod['spec']['serviceAccountName']}"
    result = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskResult", "phase": "Succeeded",
        "metadata": {"name": node["id"], "namespace": metadata["namespace"], "labels": {
            "workflows.argoproj.io/workflow": metadata["labels"]["workflows.argoproj.io/workflow"],
            "workflows.argoproj.io/report-outputs-completed": "true",
        }},
        "outputs": {"parameters": [{"name": name, "value": f"{name}-of-a-step"} for name in outputs]},
    }  # fmt: skip
    cluster.create(result, f"--as={account}")
    containers = [
        {"name": one["name"], "image": one["image"], "imageID": "", "ready": False, "restartCount": 0,
         "state": {"terminated": {"exitCode": code if one["name"] == "main" else 0}}}
        for one in pod["spec"]["containers"]
    ]  # fmt: skip
    patch = {"status": {"phase": "Failed" if code else "Succeeded", "containerStatuses": containers}}
    words = ("--subresource=status", f"--namespace={metadata['namespace']}", f"--patch={json.dumps(patch)}")
    cluster("patch", "pod", metadata["name"], *words)


@pytest.mark.parametrize("approve", ["no", "yes"])
def test_the_workflow_goes_from_its_first_step_to_its_last(own_cluster, installed, approve):
    cluster, outputs = own_cluster, {
        step["name"]: [one["name"] for one in step.get("outputs", {}).get("parameters", [])]
        for _, step in templates(installed)
    }  # fmt: skip
    cluster.apply(item for item in documents(installed / "aisg-context/argo") if "name" in item["metadata"])
    workflow, done = submitted(cluster, installed, approve=approve), []
    place = f"--namespace={workflow['metadata']['namespace']}"

    def advanced() -> str:
        status = cluster.get("workflow", workflow["metadata"]["name"], place).get("status", {})
        for pod in pods_of(cluster, workflow):
            node = status.get("nodes", {}).get(pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"])
            if node and pod["status"]["phase"] == "Pending":
                finish(cluster, pod, node, outputs[node["templateName"]])
                done.append(node["templateName"])
        waiting = [node for node in status.get("nodes", {}).values() if node["type"] == "Suspend"]
        if any(node["phase"] == "Running" for node in waiting):
            patch = json.dumps({"status": {"nodes": {waiting[0]["id"]: {"phase": "Succeeded"}}}})
            cluster("patch", "workflow", workflow["metadata"]["name"], place, "--type=merge", f"--patch={patch}")
            done.append("approve")
        return (status.get("message") or status["phase"]) if status.get("finishedAt") else ""

    assert until(advanced, STEPS_END, f"the workflow has not ended: {done}") == "Succeeded", done
    names = [step["name"] for _, step in templates(installed)]
    assert sorted(done) == sorted(names + (["approve"] if approve == "yes" else []))


@pytest.mark.parametrize(("code", "tries"), [(1, 1), (2, 1), (137, 3)], ids=["refused", "a wrong option", "killed"])
def test_a_step_that_refuses_is_not_tried_again(own_cluster, installed, code, tries):
    workflow, failed = submitted(own_cluster, installed), set()
    name, place = workflow["metadata"]["name"], f"--namespace={workflow['metadata']['namespace']}"

    def over() -> bool:
        status = own_cluster.get("workflow", name, place).get("status", {})
        for pod in pods_of(own_cluster, workflow):
            node = status.get("nodes", {}).get(pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"])
            if node and node["id"] not in failed and pod["status"]["phase"] == "Pending":
                finish(own_cluster, pod, node, [], code)
                failed.add(node["id"])
        return bool(status.get("finishedAt"))

    until(over, STEPS_END, f"the workflow has not ended: {failed}")
    assert len(failed) == tries
