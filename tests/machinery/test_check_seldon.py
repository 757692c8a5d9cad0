"""`make check` finds mistakes in Seldon's files, and names the file and the field."""

import pytest

SELDON = "aisg-context/seldon"
# Each: file, what it says, the mistake in its place, the check, and what its finding says.
MISTAKES = {
    "a word where a mapping belongs": (
        f"{SELDON}/base/deployment.yml", "requests: {cpu: 250m, memory: 256Mi}", "requests: much", "seldon",
        ["base/deployment.yml", "resources.requests", "much"],
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
        ["shadow/kustomization.yml", "spec.predictors.1:", "not a shadow"],
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
        ["spec.predictors:", "two have a pdbSpec"],
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
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(find_mistake, mistake):
    find_mistake(*MISTAKES[mistake])


def test_a_predictor_that_says_that_it_is_no_shadow_passes(edit, check):
    edit(f"{SELDON}/base/deployment.yml", "traffic: 100", "traffic: 100\n      shadow: false")
    assert check("seldon").output == "seldon: ok\n"


def test_seldon_is_not_checked_without_kubectl(check, monkeypatch):
    monkeypatch.setattr("mlops.platform.deploy.shutil.which", lambda name, path: None)
    monkeypatch.delenv("CI", raising=False)
    answer = check("seldon")
    assert "seldon: NOT CHECKED: kubectl" in answer.output and answer.exit_code == 0


@pytest.mark.parametrize("wrong", ["componentSpec:", "{componentSpecs"])
def test_a_file_that_another_check_cannot_read_ends_in_a_sentence(edit, check, wrong):
    edit(f"{SELDON}/base/deployment.yml", "componentSpecs:", wrong)
    answer = check("kubernetes", "seldon")
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.output
    assert "kubernetes: NOT CHECKED" in answer.output and "  aisg-context/seldon/base/" in answer.output
