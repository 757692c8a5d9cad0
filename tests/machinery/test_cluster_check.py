"""`make check` finds mistakes in the files for Argo, Seldon and Kubernetes, and names the file and the field."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT
from mlops import cli

ARGO, SELDON, K8S = "aisg-context/argo", "aisg-context/seldon", "aisg-context/k8s"
POLYAXONFILES = "aisg-context/polyaxon/polyaxonfiles"
LEFT, RIGHT = "{" * 2, "}" * 2
# Each: file, what it says, the mistake in its place, the check, and what its finding says.
MISTAKES = {
    "a misspelt field of a template": (
        f"{ARGO}/package-model.yml", "activeDeadlineSeconds: 1800", "activeDeadlineSecond: 1800", "argo",
        ["package-model.yml", "templates.3", "activeDeadlineSecond"],
    ),
    "a value of the wrong type": (
        f"{ARGO}/package-model.yml", "secondsAfterSuccess: 86400", "secondsAfterSuccess: a day", "argo",
        ["package-model.yml", "ttlStrategy.secondsAfterSuccess"],
    ),
    "a misspelt field of a parameter": (
        f"{ARGO}/package-model.yml", "enum: [max, min]", "enums: [max, min]", "argo",
        ["package-model.yml", "spec.arguments.parameters.3.enums", "no such field"],
    ),
    "a misspelt field of a step's argument": (
        f"{ARGO}/package-model.yml", "{name: commit, value: \"", "{name: commit, values: \"", "argo",
        ["package-model.yml", "spec.templates.0.steps.5.0.arguments.parameters.2.values"],
    ),
    "a word where a mapping belongs": (
        f"{SELDON}/base/deployment.yml", "requests: {cpu: 250m, memory: 256Mi}", "requests: much", "seldon",
        ["base/deployment.yml", "resources.requests", "much"],
    ),
    "an entrypoint that there is not": (
        f"{ARGO}/package-model.yml", "entrypoint: package-model", "entrypoint: package", "argo",
        ["package-model.yml", "spec.entrypoint", "package"],
    ),
    "a step that calls a template that there is not": (
        f"{ARGO}/package-model.yml", "template: smoke-test", "template: smoketest", "argo",
        ["package-model.yml", "steps.3.smoke-test", "smoketest"],
    ),
    "an output that no step makes": (
        f"{ARGO}/package-model.yml", "steps.bundle.outputs.parameters.digest", "steps.bundle.outputs.parameters.sum",
        "argo", ["package-model.yml", "steps.2.build-push", "steps.bundle.outputs.parameters.sum"],
    ),
    "an output of a step that comes later": (
        f"{ARGO}/package-model.yml", "steps.bundle.outputs.parameters.digest",
        "steps.build-push.outputs.parameters.image", "argo",
        ["package-model.yml", "steps.2.build-push", "steps.build-push"],
    ),
    "an input that the template does not have": (
        f"{ARGO}/package-model.yml", "{name: commit, value:", "{name: comit, value:", "argo",
        ["package-model.yml", "steps.5.deploy", "comit"],
    ),
    "a parameter of the workflow that there is not": (
        f"{ARGO}/package-model.yml", "workflow.parameters.metric", "workflow.parameters.metrics", "argo",
        ["package-model.yml", "spec.templates.1.container.env", "workflow.parameters.metrics"],
    ),
    "a default that its own list forbids": (
        f"{ARGO}/package-model.yml", "{name: mode, value: max", "{name: mode, value: most", "argo",
        ["package-model.yml", "parameters.mode", "most"],
    ),
    "a second try that has no time": (
        f"{ARGO}/package-model.yml", 'factor: "2"}}\n      outputs', 'factor: "2", maxDuration: 5m}}\n      outputs',
        "argo", ["package-model.yml", "spec.templates.2.retryStrategy.backoff.maxDuration", "1200 s"],
    ),
    "a retry policy that Argo does not have": (
        f"{ARGO}/package-model.yml", "retryPolicy: Always", "retryPolicy: Allways", "argo",
        ["package-model.yml", "spec.templates.1.retryStrategy.retryPolicy", "Allways"],
    ),
    "a duration that is none": (
        f"{ARGO}/package-model.yml", "duration: 20s", "duration: 20 seconds", "argo",
        ["package-model.yml", "spec.templates.1.retryStrategy.backoff.duration", "20 seconds"],
    ),
    "a number of tries that is none": (
        f"{ARGO}/package-model.yml", 'limit: "2"', 'limit: "two"', "argo",
        ["package-model.yml", "spec.templates.1.retryStrategy.limit", "two"],
    ),
    "a way to remove pods that Argo does not have": (
        f"{ARGO}/package-model.yml", "strategy: OnPodSuccess", "strategy: OnPodSucess", "argo",
        ["package-model.yml", "spec.podGC.strategy", "OnPodSucess"],
    ),
    "a workflow in another namespace than its account": (
        f"{ARGO}/package-model.yml", "namespace: model-packaging", "namespace: polyaxon-v1", "names",
        ["package-model.yml", "spec.serviceAccountName", "model-packager", "polyaxon-v1"],
    ),
    "a secret that nobody makes, in a workflow": (
        f"{ARGO}/package-model.yml", "emptyDir: {}", "secret: {secretName: regcred}", "names",
        ["package-model.yml", "spec.volumes.1.secret.secretName", "regcred"],
    ),
    "the secret that pushes, in a training run": (
        f"{POLYAXONFILES}/train.yml", "imagePullSecrets: []", "imagePullSecrets: [gcp-imagepushsecrets]", "names",
        ["train.yml", "run.environment.imagePullSecrets.0", "gcp-imagepushsecrets", "polyaxon-v1"],
    ),
    "the account that deploys, in a training run": (
        f"{POLYAXONFILES}/train.yml", "  environment:\n", "  environment:\n    serviceAccountName: model-deployer\n",
        "names", ["train.yml", "run.environment.serviceAccountName", "model-deployer", "polyaxon-v1"],
    ),
    "a secret that nobody makes, in a deployment": (
        f"{K8S}/jupyterlab.yml", "{name: workspace-password,", "{name: workspace-pasword,", "names",
        ["jupyterlab.yml", "secretKeyRef.name", "workspace-pasword"],
    ),
    "a probe of a port that Seldon does not name so": (
        f"{SELDON}/base/deployment.yml", "{path: /health/ping, port: http}", "{path: /health/ping, port: rest}",
        "seldon", ["base/deployment.yml", "livenessProbe.httpGet.port", "rest"],
    ),
    "a grace period that is over before SIGTERM": (
        f"{SELDON}/base/deployment.yml", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 5",
        "seldon", ["base/deployment.yml", "terminationGracePeriodSeconds", "10 s"],
    ),
    "a budget that lets no node be drained": (
        f"{SELDON}/base/deployment.yml", "{maxUnavailable: 1}", "{maxUnavailable: 0}", "seldon",
        ["base/deployment.yml", "pdbSpec.maxUnavailable", "drained"],
    ),
    "scaling by a share of what was not asked for": (
        f"{SELDON}/base/deployment.yml", "requests: {cpu: 100m, memory: 64Mi}", "requests: {memory: 64Mi}", "seldon",
        ["base/deployment.yml", "spec.predictors.0.svcOrchSpec.resources.requests", "cpu"],
    ),
    "a claim that one node alone can write": (
        f"{K8S}/volume.yml", "[ReadWriteMany]", "[ReadWriteOnce]", "kubernetes", ["volume.yml", "spec.accessModes"],
    ),
    "a claim of the team's volume that none of its pods can write": (
        f"{K8S}/volume.yml", "[ReadWriteMany]", "[ReadOnlyMany]", "kubernetes", ["volume.yml", "spec.accessModes"],
    ),
    "a claim of the packaging workflow's that can be written": (
        f"{K8S}/read-only-volume.yml", "  accessModes: [ReadOnlyMany]\n  storageClassName: \"\"\n  volumeName",
        "  accessModes: [ReadWriteMany]\n  storageClassName: \"\"\n  volumeName", "kubernetes",
        ["read-only-volume.yml", "spec.accessModes"],
    ),
    "a claim that is called as the account that every namespace has": (
        f"{ARGO}/package-model.yml", "{claimName: polyaxon-v1-data, ", "{claimName: default, ", "names",
        ["package-model.yml", "default"],
    ),
    "a verb that Kubernetes does not have": (
        f"{K8S}/model-packager.yml", "verbs: [create, patch]", "verbs: [create, apply]", "kubernetes",
        ["model-packager.yml", "rules.0.verbs", "apply"],
    ),
    "a probe of a port that the container does not have": (
        f"{K8S}/jupyterlab.yml", "tcpSocket: {port: http}", "tcpSocket: {port: web}", "kubernetes",
        ["jupyterlab.yml", "containers.0.readinessProbe.tcpSocket.port", "web"],
    ),
    "a name that Kubernetes does not take": (
        f"{K8S}/volume-owner.yml", "name: volume-owner", "name: volume_owner", "kubernetes",
        ["volume-owner.yml", "metadata.name", "volume_owner"],
    ),
    "a volume that there is not": (
        f"{ARGO}/package-model.yml", "{name: work, mountPath", "{name: works, mountPath", "argo",
        ["package-model.yml", "volumeMounts", "works"],
    ),
    "an unknown key under a volume": (
        f"{ARGO}/package-model.yml", "claimName: polyaxon-v1-data", "claim_name: polyaxon-v1-data", "argo",
        ["package-model.yml", "volumes", "claim_name"],
    ),
    "a quantity that is none": (
        f"{ARGO}/package-model.yml", "memory: 3Gi", "memory: 3Gigs", "argo",
        ["package-model.yml", "spec.templates.2.container.resources.limits.memory", "3Gigs"],
    ),
    "another version in an image's tag": (
        f"{ARGO}/package-model.yml", "/s2i:0.1.0\n", "/s2i:9.1.0\n", "argo",
        ["package-model.yml", "container.image", "pyproject.toml"],
    ),
    "an account that no manifest makes": (
        f"{ARGO}/package-model.yml", "serviceAccountName: model-packager", "serviceAccountName: packager", "names",
        ["package-model.yml", "serviceAccountName", "packager"],
    ),
    "an account of a step that no manifest makes": (
        f"{ARGO}/package-model.yml", "serviceAccountName: model-pusher", "serviceAccountName: pusher", "names",
        ["package-model.yml", "spec.templates.3.serviceAccountName", "pusher"],
    ),
    "a workflow of a template that there is not": (
        f"{ARGO}/model-pkg.yml", "-package-model}", "-package}", "names",
        ["model-pkg.yml", "workflowTemplateRef"],
    ),
    "a workflow that does not give what has no default": (
        f"{ARGO}/model-pkg.yml", "{name: project, value", "{name: metric, value", "argo",
        ["model-pkg.yml", "spec.arguments.parameters", "project"],
    ),
    "a misspelt key of a predictor": (
        f"{SELDON}/base/deployment.yml", "svcOrchSpec:", "svcOrchestratorSpec:", "seldon",
        ["base/deployment.yml", "spec.predictors.0", "svcOrchestratorSpec"],
    ),
    "a number as text": (
        f"{SELDON}/base/deployment.yml", "minReplicas: 2", 'minReplicas: "2"', "seldon",
        ["base/deployment.yml", "hpaSpec.minReplicas"],
    ),
    "a type of node that Seldon does not have": (
        f"{SELDON}/base/deployment.yml", "type: MODEL\n", "type: MODEEL\n", "seldon",
        ["base/deployment.yml", "graph.type", "MODEEL"],
    ),
    "a node without a container": (
        f"{SELDON}/base/deployment.yml", "- name: classifier\n", "- name: classifer\n", "seldon",
        ["base/deployment.yml", "graph.name", "classifier"],
    ),
    "a protocol that Seldon does not have": (
        f"{SELDON}/base/deployment.yml", "protocol: seldon", "protocol: rest", "seldon",
        ["base/deployment.yml", "spec.protocol"],
    ),
    "a probe of a field that Kubernetes does not have": (
        f"{SELDON}/base/deployment.yml", "failureThreshold: 30", "failureTreshold: 30", "seldon",
        ["base/deployment.yml", "startupProbe", "failureTreshold"],
    ),
    "scaling by the version that Kubernetes has given up": (
        f"{SELDON}/base/deployment.yml", "metricsv2:", "metrics:", "seldon",
        ["base/deployment.yml", "hpaSpec.metrics", "metricsv2"],
    ),
    "traffic that does not make 100": (
        f"{SELDON}/overlays/canary/kustomization.yml", "traffic, value: 10}", "traffic, value: 20}", "seldon",
        ["canary/kustomization.yml", "spec.predictors", "110"],
    ),
    "two predictors of one name": (
        f"{SELDON}/two-predictors/kustomization.yml", "value: candidate}", "value: main}", "seldon",
        ["kustomization.yml", "spec.predictors.1.name", "main"],
    ),
    "two shadows": (
        f"{SELDON}/overlays/shadow/kustomization.yml", "- {op: remove, path: /spec/predictors/1/traffic}",
        "- {op: add, path: /spec/predictors/0/shadow, value: true}", "seldon",
        ["shadow/kustomization.yml", "more than one is a shadow"],
    ),
    "a share above one": (
        f"{SELDON}/overlays/ab-test/kustomization.yml", 'value: "0.5"', 'value: "50"', "seldon",
        ["ab-test/kustomization.yml", "graph.parameters.0", "50"],
    ),
    "a router told of more branches than it has": (
        f"{SELDON}/overlays/bandit/kustomization.yml", 'n_branches, value: "2"', 'n_branches, value: "3"', "seldon",
        ["bandit/kustomization.yml", "n_branches", "3"],
    ),
    "a shadow that is none": (
        f"{SELDON}/overlays/shadow/kustomization.yml",
        "      - {op: add, path: /spec/predictors/1/shadow, value: true}\n", "", "seldon",
        ["shadow/kustomization.yml", "spec.predictors.1.traffic", "no shadow"],
    ),
    "a patch of a path that there is not": (
        f"{SELDON}/overlays/canary/kustomization.yml", "/spec/predictors/1/traffic", "/spec/predictors/2/traffic",
        "seldon",
        ["canary/kustomization.yml", "predictors/2"],
    ),
    "a base that there is not": (
        f"{SELDON}/overlays/shadow/kustomization.yml", "../../two-predictors", "../../two-predictor", "seldon",
        ["shadow/kustomization.yml", "two-predictor"],
    ),
    "no word from Seldon on which model answered": (
        f"{SELDON}/two-models/kustomization.yml", "SELDON_ENABLE_ROUTING_INJECTION", "ENABLE_ROUTING_INJECTION",
        "seldon", ["spec.predictors.0.svcOrchSpec.env", "SELDON_ENABLE_ROUTING_INJECTION"],
    ),
    "a second budget for the same pods": (
        f"{SELDON}/two-predictors/kustomization.yml",
        "      - {op: remove, path: /spec/predictors/1/componentSpecs/0/pdbSpec}\n", "", "seldon",
        ["spec.predictors.1.componentSpecs.0.pdbSpec", "one is enough"],
    ),
    "a security context that Seldon replaces": (
        f"{SELDON}/base/deployment.yml", "            containers:\n",
        "            securityContext: {runAsNonRoot: true}\n            containers:\n", "seldon",
        ["base/deployment.yml", "componentSpecs.0.spec.securityContext", "containers"],
    ),
    "metrics where Seldon does not have them": (
        f"{SELDON}/base/deployment.yml", "prometheus.io/path: /prometheus", "prometheus.io/path: /metrics", "seldon",
        ["base/deployment.yml", "metadata.annotations", "/prometheus"],
    ),
    "metrics at a port that Seldon chooses": (
        f"{SELDON}/base/deployment.yml", "{name: metrics, containerPort: 6000}", "{name: page, containerPort: 6000}",
        "seldon", ["base/deployment.yml", "containers.0.ports", "metrics"],
    ),
    "metrics asked for at another port": (
        f"{SELDON}/base/deployment.yml", 'prometheus.io/port: "6000"', 'prometheus.io/port: "6001"', "seldon",
        ["base/deployment.yml", "containers.0.ports", "6001"],
    ),
    "a server that a shell keeps from stopping": (
        f"{SELDON}/base/deployment.yml", "                command: [/s2i/bin/run]\n", "", "seldon",
        ["base/deployment.yml", "containers.0", "no command", "SIGTERM"],
    ),
    "a service of no port of the model's": (
        f"{K8S}/model-metrics.yml", "targetPort: 6000", "targetPort: 9000", "kubernetes",
        ["model-metrics.yml", "spec.ports.0.targetPort", "9000"],
    ),
    "a service in another namespace than the model": (
        f"{K8S}/model-metrics.yml", "namespace: seldon", "namespace: polyaxon-v1", "kubernetes",
        ["model-metrics.yml", "metadata.namespace", "polyaxon-v1"],
    ),
    "a service of no pods of the model's": (
        f"{K8S}/model-metrics.yml", "model/role: main", "model/role: primary", "kubernetes",
        ["model-metrics.yml", "spec.selector", "primary"],
    ),
    "a selector that selects nothing": (
        f"{K8S}/jupyterlab.yml", "matchLabels: {app.kubernetes.io/name: jupyterlab}",
        "matchLabels: {app.kubernetes.io/name: jupyter}", "kubernetes", ["jupyterlab.yml", "spec.selector.matchLabels"],
    ),
    "a service that is open to the internet": (
        f"{K8S}/jupyterlab.yml", "type: ClusterIP", "type: LoadBalancer", "kubernetes", ["jupyterlab.yml", "spec.type"],
    ),
    "a port that no container has": (
        f"{K8S}/jupyterlab.yml", "targetPort: http", "targetPort: web", "kubernetes", ["jupyterlab.yml", "targetPort",
        "web"],
    ),
    "a binding of a role that there is not": (
        f"{K8S}/model-packager.yml", "kind: Role, name: model-deployer", "kind: Role, name: packager", "names",
        ["model-packager.yml", "roleRef.name", "packager"],
    ),
    "a misspelt verb list": (
        f"{K8S}/model-packager.yml", "verbs:", "verb:", "kubernetes", ["model-packager.yml", "verb"],
    ),
}  # fmt: skip


@pytest.fixture
def check(team):
    """Run `python -m digit_reader check` in this process, which loads Polyaxon only once."""

    def run(root: Path, *names: str):
        return CliRunner().invoke(cli.stages(team), ["check", "--root", str(root), *names])

    return run


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("aisg-context", "docker", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(copy, check, mistake):
    name, right, wrong, category, said = MISTAKES[mistake]
    path = copy / name
    text = path.read_text(encoding="utf-8")
    assert right in text, "the mistake no longer fits the file"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    answer = check(copy, category)
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.output
    findings = [line for line in answer.output.splitlines() if line.startswith("  ")]
    assert any(all(word in line for word in said) for line in findings), answer.output


def test_files_without_a_mistake_pass(copy, check):
    answer = check(copy, "argo", "seldon", "names", "kubernetes")
    assert answer.exit_code == 0, answer.output


VALID = {
    "a predictor that says that it is no shadow": (
        f"{SELDON}/base/deployment.yml",
        "traffic: 100",
        "traffic: 100\n      shadow: false",
    ),
    "a group for volumes": (f"{K8S}/jupyterlab.yml", "runAsNonRoot: true,", "runAsNonRoot: true, fsGroup: 2,"),
    "a rule of RBAC's own verbs": (f"{K8S}/model-packager.yml", "get, list,", "use, get, list,"),
    "time enough for a second try": (f"{ARGO}/package-model.yml", 'factor: "2"}}', 'factor: "2", maxDuration: 1h}}'),
}


@pytest.mark.parametrize("edit", VALID)
def test_a_valid_edit_passes(copy, check, edit):
    name, before, after = VALID[edit]
    text = (copy / name).read_text(encoding="utf-8")
    assert before in text, "the edit no longer fits the file"
    (copy / name).write_text(text.replace(before, after, 1), encoding="utf-8")
    answer = check(copy, "argo", "seldon", "names", "kubernetes")
    assert answer.exit_code == 0, answer.output


def test_seldon_is_not_checked_without_kubectl(copy, check, monkeypatch):
    monkeypatch.setattr("mlops.platform.deploy.shutil.which", lambda name, path: None)
    monkeypatch.delenv("CI", raising=False)
    answer = check(copy, "seldon")
    assert "seldon: NOT CHECKED: kubectl" in answer.output and answer.exit_code == 0


def test_the_workflow_builds_without_privileges_and_without_a_socket():
    text = (ROOT / ARGO / "package-model.yml").read_text(encoding="utf-8")
    spec = yaml.safe_load(text)["spec"]
    assert "docker.sock" not in text and "hostPath" not in text
    assert spec["securityContext"]["runAsNonRoot"]
    for template in spec["templates"]:
        context = template.get("container", {}).get("securityContext")
        if context and template["name"] != "build-push":
            assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}
        assert not (context or {}).get("privileged")
    (build,) = [template for template in spec["templates"] if template["name"] == "build-push"]
    assert build["container"]["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SETUID", "SETGID"]}


def test_every_step_ends_in_time_and_asks_for_what_it_needs():
    spec = yaml.safe_load((ROOT / ARGO / "package-model.yml").read_text(encoding="utf-8"))["spec"]
    steps = [template for template in spec["templates"] if "container" in template]
    assert [template["name"] for template in steps] == [
        "best", "bundle", "build-push", "smoke-test", "deploy"
    ]  # fmt: skip
    for template in steps:
        assert template["activeDeadlineSeconds"] <= 1800, template["name"]
        assert {"requests", "limits"} <= template["container"]["resources"].keys(), template["name"]
        assert template["retryStrategy"]["limit"], template["name"]


def test_a_model_is_deployed_after_it_answered_and_a_person_approved():
    spec = yaml.safe_load((ROOT / ARGO / "package-model.yml").read_text(encoding="utf-8"))["spec"]
    (entry,) = [template for template in spec["templates"] if template["name"] == spec["entrypoint"]]
    names = [[step["name"] for step in together] for together in entry["steps"]]
    assert names[-3:] == [["smoke-test"], ["approve"], ["deploy"]], "package-model.yml: steps side by side do not wait"


def test_a_model_gets_requests_once_it_predicts_and_is_restarted_only_when_it_answers_nothing():
    served = yaml.safe_load((ROOT / SELDON / "base/deployment.yml").read_text(encoding="utf-8"))
    (container,) = served["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    predicts, answers = "/health/status", "/health/ping"
    assert paths == {"startupProbe": predicts, "readinessProbe": predicts, "livenessProbe": answers}, "deployment.yml"


def test_no_parameter_enters_the_text_of_a_shell_command():
    spec = yaml.safe_load((ROOT / ARGO / "package-model.yml").read_text(encoding="utf-8"))["spec"]
    for template in spec["templates"]:
        container = template.get("container", {})
        if container.get("command", [""])[0] in ("sh", "bash"):
            assert LEFT not in " ".join(container["command"] + container.get("args", [])), template["name"]


def test_each_account_of_the_workflow_has_its_own_right_and_no_other_namespace_has_one():
    documents = list(yaml.safe_load_all((ROOT / K8S / "model-packager.yml").read_text(encoding="utf-8")))
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
    deploys |= {("deployments", "list")}  # whether the pods run the image
    assert may == {"model-packager": reports, "model-pusher": reports, "model-deployer": reports | deploys}


def test_only_the_step_that_deploys_has_a_token_and_only_the_one_that_pushes_the_secret():
    spec = yaml.safe_load((ROOT / ARGO / "package-model.yml").read_text(encoding="utf-8"))["spec"]
    steps = {item["name"]: item for item in spec["templates"] if "container" in item}
    mounts = {name: {one["name"]: one for one in item["container"]["volumeMounts"]} for name, item in steps.items()}
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    hidden = {name for name, found in mounts.items() if found.get("no-token", {}).get("mountPath") == token}
    assert steps.keys() - hidden == {"deploy"}
    assert {name for name, found in mounts.items() if "registry-login" in found} <= {"build-push"}
    assert not [name for name, found in mounts.items() if not found.get("data", {}).get("readOnly", True)]


@pytest.mark.parametrize("changed", [False, True])
def test_what_is_built_is_what_was_bundled(tmp_path, changed):
    """The steps' own scripts, with `package` and `s2i` in the place of the images' programs."""
    spec = yaml.safe_load((ROOT / ARGO / "package-model.yml").read_text(encoding="utf-8"))["spec"]
    bundle, build = (
        item["container"]["args"][0] for item in spec["templates"] if item["name"] in ("bundle", "build-push")
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
    spec = yaml.safe_load((ROOT / ARGO / "package-model.yml").read_text(encoding="utf-8"))["spec"]
    assert spec["volumeClaimGC"] == {"strategy": "OnWorkflowSuccess"} and "onExit" not in spec
    (claim,) = spec["volumeClaimTemplates"]
    (made,) = [item for item in spec["templates"] if item["name"] == "bundle"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/work"} in made["container"]["volumeMounts"]


def test_jupyterlab_asks_for_a_token_and_stays_inside():
    documents = list(yaml.safe_load_all((ROOT / K8S / "jupyterlab.yml").read_text(encoding="utf-8")))
    (deployment,) = [item for item in documents if item["kind"] == "Deployment"]
    (service,) = [item for item in documents if item["kind"] == "Service"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (token,) = [item for item in container["env"] if item["name"] == "JUPYTER_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"]["name"] and "value" not in token
    assert not [word for word in container["args"] if "token" in word.lower() or "password" in word.lower()]
    assert service["spec"]["type"] == "ClusterIP"


def test_drift_asks_where_the_replicas_have_their_metrics():
    served = yaml.safe_load((ROOT / SELDON / "base/deployment.yml").read_text(encoding="utf-8"))
    component = served["spec"]["predictors"][0]["componentSpecs"][0]
    service = yaml.safe_load((ROOT / K8S / "model-metrics.yml").read_text(encoding="utf-8"))
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    path = component["metadata"]["annotations"]["prometheus.io/path"]
    drift = yaml.safe_load((ROOT / "aisg-context/polyaxon/polyaxonfiles/drift.yml").read_text(encoding="utf-8"))
    (url,) = [item["value"] for item in drift["component"]["inputs"] if item["name"] == "url"]
    assert url == f"http://{host}:{service['spec']['ports'][0]['port']}{path}"
