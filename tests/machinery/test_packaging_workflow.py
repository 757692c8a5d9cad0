"""The packaging workflow: what its steps may do, their order, and that what is built is what was bundled."""

import os
import subprocess

import pytest
import yaml
from conftest import ROOT

WORKFLOW = ROOT / "aisg-context/argo/package-model.yml"
SPEC = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["spec"]


def test_the_workflow_builds_without_privileges_and_without_a_socket():
    text = WORKFLOW.read_text(encoding="utf-8")
    assert "docker.sock" not in text and "hostPath" not in text
    assert SPEC["securityContext"]["runAsNonRoot"]
    for template in SPEC["templates"]:
        context = template.get("container", {}).get("securityContext")
        if context and template["name"] != "build-push":
            assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}
        assert not (context or {}).get("privileged")
    (build,) = [template for template in SPEC["templates"] if template["name"] == "build-push"]
    assert build["container"]["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SETUID", "SETGID"]}


def test_every_step_ends_in_time_and_asks_for_what_it_needs():
    steps = [template for template in SPEC["templates"] if "container" in template]
    assert [template["name"] for template in steps] == [
        "best", "bundle", "build-push", "smoke-test", "deploy"
    ]  # fmt: skip
    for template in steps:
        assert template["activeDeadlineSeconds"] <= 1800, template["name"]
        assert {"requests", "limits"} <= template["container"]["resources"].keys(), template["name"]
        assert template["retryStrategy"]["limit"], template["name"]


def test_a_model_is_deployed_after_it_answered_and_a_person_approved():
    (entry,) = [template for template in SPEC["templates"] if template["name"] == SPEC["entrypoint"]]
    names = [[step["name"] for step in together] for together in entry["steps"]]
    assert names[-3:] == [["smoke-test"], ["approve"], ["deploy"]], "package-model.yml: steps side by side do not wait"


def test_no_parameter_enters_the_text_of_a_shell_command():
    for template in SPEC["templates"]:
        container = template.get("container", {})
        if container.get("command", [""])[0] in ("sh", "bash"):
            assert "{" * 2 not in " ".join(container["command"] + container.get("args", [])), template["name"]


def test_each_account_of_the_workflow_has_its_own_right_and_no_other_namespace_has_one():
    documents = list(yaml.safe_load_all((ROOT / "aisg-context/k8s/model-packager.yml").read_text(encoding="utf-8")))
    assert not [item for item in documents if item["kind"].startswith("Cluster")]
    rules = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in documents if "rules" in item}
    rights = {}
    for binding in documents:
        for account in binding.get("subjects", []):
            assert account["namespace"] == "model-packaging"
            role = rules[binding["metadata"]["namespace"], binding["roleRef"]["name"]]
            rights.setdefault(account["name"], []).extend(role["rules"])
    may = {
        name: {(resource, verb) for rule in found for resource in rule["resources"] for verb in rule["verbs"]}
        for name, found in rights.items()
    }
    reports = {("workflowtaskresults", "create"), ("workflowtaskresults", "patch")}
    deploys = {("seldondeployments", verb) for verb in ("get", "list", "watch", "create", "patch")}
    deploys |= {("deployments", "list"), ("pods", "list")}  # whether the pods run the image, and why they do not
    assert may == {"model-packager": reports, "model-pusher": reports, "model-deployer": reports | deploys}


def test_only_the_step_that_deploys_has_a_token_and_only_the_one_that_pushes_the_secret():
    steps = {item["name"]: item for item in SPEC["templates"] if "container" in item}
    mounts = {name: {one["name"]: one for one in item["container"]["volumeMounts"]} for name, item in steps.items()}
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    hidden = {name for name, found in mounts.items() if found.get("no-token", {}).get("mountPath") == token}
    assert steps.keys() - hidden == {"deploy"}
    assert {name for name, found in mounts.items() if "registry-login" in found} <= {"build-push"}
    assert not [name for name, found in mounts.items() if not found.get("data", {}).get("readOnly", True)]


@pytest.mark.parametrize("changed", [False, True])
def test_what_is_built_is_what_was_bundled(tmp_path, changed):
    """The steps' own scripts, with `package` and `s2i` in the place of the images' programs."""
    bundle, build = (
        item["container"]["args"][0] for item in SPEC["templates"] if item["name"] in ("bundle", "build-push")
    )
    work, home = tmp_path / "work", tmp_path / "tmp"
    (home / "bundle").mkdir(parents=True)
    work.mkdir()
    (home / "bundle/metadata.json").write_text("{}", encoding="utf-8")
    (tmp_path / "s2i").write_text('#!/bin/sh\necho "s2i got $(ls "$2")"; exit 9\n', encoding="utf-8")
    (tmp_path / "s2i").chmod(0o755)

    def run(script: str, **environment: str) -> subprocess.CompletedProcess:
        here = script.replace("/tmp", str(home)).replace("/work", str(work))
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        environment |= {"PATH": path, "TMPDIR": str(tmp_path), "THIS_RUN": "1f2e3d", "PREFIX": "registry/name"}
        return subprocess.run(["bash", "-ec", here], env=environment, capture_output=True, text=True, check=False)

    packed = run(bundle[bundle.index("cd /tmp") :])
    assert packed.returncode == 0, packed.stderr
    if changed:
        (work / "bundle.tar").write_bytes((work / "bundle.tar").read_bytes() + b"0")
    built = run(build, DIGEST=(home / "digest").read_text(encoding="utf-8").strip())
    assert built.returncode == (1 if changed else 9), built.stderr
    assert built.stdout.strip().endswith("FAILED" if changed else "s2i got metadata.json")


def test_a_volume_of_the_workflow_goes_when_it_succeeded_and_stays_for_a_retry():
    assert SPEC["volumeClaimGC"] == {"strategy": "OnWorkflowSuccess"} and "onExit" not in SPEC
    (claim,) = SPEC["volumeClaimTemplates"]
    (made,) = [item for item in SPEC["templates"] if item["name"] == "bundle"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/work"} in made["container"]["volumeMounts"]
