"""`make check` finds mistakes in the files for Argo, Seldon and Kubernetes, and names the file and the field."""

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT
from mlops import cli

ARGO, SELDON, K8S = "aisg-context/argo", "aisg-context/seldon", "aisg-context/k8s"
LEFT, RIGHT = "{" * 2, "}" * 2
# Each: file, what it says, the mistake in its place, the check, and what its finding says.
MISTAKES = {
    "a misspelt field of a template": (
        f"{ARGO}/package-model.yml", "activeDeadlineSeconds: 1800", "activeDeadlineSecond: 1800", "argo",
        ["package-model.yml", "templates.4", "activeDeadlineSecond"],
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
        ["package-model.yml", "spec.templates.0.steps.6.0.arguments.parameters.2.values"],
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
        ["package-model.yml", "steps.4.smoke-test", "smoketest"],
    ),
    "an output that no step makes": (
        f"{ARGO}/package-model.yml", "steps.s2i.outputs.parameters.image", "steps.s2i.outputs.parameters.tag", "argo",
        ["package-model.yml", "steps.3.build-push", "steps.s2i.outputs.parameters.tag"],
    ),
    "an output of a step that comes later": (
        f"{ARGO}/package-model.yml", "steps.s2i.outputs.parameters.image", "steps.build-push.outputs.parameters.image",
        "argo", ["package-model.yml", "steps.3.build-push", "steps.build-push"],
    ),
    "an input that the template does not have": (
        f"{ARGO}/package-model.yml", "{name: commit, value:", "{name: comit, value:", "argo",
        ["package-model.yml", "steps.6.deploy", "comit"],
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
        f"{ARGO}/package-model.yml", "namespace: polyaxon-v1", "namespace: argo", "names",
        ["package-model.yml", "spec.serviceAccountName", "model-packager"],
    ),
    "a secret that nobody makes, in a workflow": (
        f"{ARGO}/package-model.yml", "secretName: gcp-imagepullsecrets", "secretName: regcred", "names",
        ["package-model.yml", "spec.volumes.1.secret.secretName", "regcred"],
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
    "a verb that Kubernetes does not have": (
        f"{K8S}/model-packager.yml", "create, patch]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding",
        "create, apply]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding", "kubernetes",
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
        f"{ARGO}/package-model.yml", "- {name: registry-login, mountPath", "- {name: login, mountPath", "argo",
        ["package-model.yml", "volumeMounts", "login"],
    ),
    "an unknown key under a volume": (
        f"{ARGO}/package-model.yml", "secretName: gcp-imagepullsecrets\n", "secret_name: gcp-imagepullsecrets\n",
        "argo",
        ["package-model.yml", "volumes", "secret_name"],
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
        f"{ARGO}/package-model.yml", "serviceAccountName: model-smoke-test", "serviceAccountName: smoke-test", "names",
        ["package-model.yml", "spec.templates.5.serviceAccountName", "smoke-test"],
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
        f"{K8S}/model-packager.yml", "kind: Role, name: model-packager", "kind: Role, name: packager", "names",
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
        "best", "bundle", "s2i", "build-push", "smoke-test", "deploy", "clean-up"
    ]  # fmt: skip
    for template in steps:
        assert template["activeDeadlineSeconds"] <= 1800, template["name"]
        assert {"requests", "limits"} <= template["container"]["resources"].keys(), template["name"]
        assert template["name"] == "clean-up" or template["retryStrategy"]["limit"], template["name"]


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


def test_the_account_of_the_workflow_changes_deployments_of_models_and_nothing_else():
    documents = list(yaml.safe_load_all((ROOT / K8S / "model-packager.yml").read_text(encoding="utf-8")))
    rules = {item["metadata"]["namespace"]: item["rules"] for item in documents if item["kind"] == "Role"}
    assert [rule["resources"] for rule in rules["seldon"]] == [["seldondeployments"], ["deployments"]]
    assert rules["seldon"][1]["verbs"] == ["list"]
    assert [rule["resources"] for rule in rules["polyaxon-v1"]] == [["workflowtaskresults"]]
    assert not [item for item in documents if item["kind"].startswith("Cluster")]
    assert not [verb for role in rules.values() for rule in role for verb in rule["verbs"] if verb in ("*", "delete")]


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
