"""`make check` finds mistakes in Argo's files, and names the file and the field."""

import pytest

ARGO = "aisg-context/argo"
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
        f"{ARGO}/package-model.yml", 'factor: "2"}\n        exp', 'factor: "2", maxDuration: 5m}\n        exp', "argo",
        ["package-model.yml", "spec.templates.2.retryStrategy.backoff.maxDuration", "1200 s"],
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
    "a claim that is called as the account that every namespace has": (
        f"{ARGO}/package-model.yml", "{claimName: polyaxon-v1-data, ", "{claimName: default, ", "names",
        ["package-model.yml", "default"],
    ),
    "an unknown key under a volume": (
        f"{ARGO}/package-model.yml", "claimName: polyaxon-v1-data", "claim_name: polyaxon-v1-data", "argo",
        ["package-model.yml", "volumes", "claim_name"],
    ),
    "a quantity that is none": (
        f"{ARGO}/package-model.yml", "memory: 3Gi", "memory: 3Gigs", "argo",
        ["package-model.yml", "spec.templates.2.container.resources.limits.memory", "3Gigs"],
    ),
    "an account that no manifest makes": (
        f"{ARGO}/package-model.yml", "serviceAccountName: model-packager", "serviceAccountName: packager", "names",
        ["package-model.yml", "serviceAccountName", "packager"],
    ),
    "a workflow of a template that there is not": (
        f"{ARGO}/model-pkg.yml", "-package-model}", "-package}", "names",
        ["model-pkg.yml", "workflowTemplateRef"],
    ),
    "a workflow that does not give what has no default": (
        f"{ARGO}/model-pkg.yml", "{name: project, value", "{name: metric, value", "argo",
        ["model-pkg.yml", "spec.arguments.parameters", "project"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(find_mistake, mistake):
    find_mistake(*MISTAKES[mistake])


def test_time_enough_for_a_second_try_passes(edit, check):
    edit(f"{ARGO}/package-model.yml", 'factor: "2"}}', 'factor: "2", maxDuration: 1h}}')
    assert check("argo").output == "argo: ok\n"
