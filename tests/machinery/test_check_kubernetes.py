"""`make check` finds mistakes in the plain Kubernetes manifests, and names the file and the field."""

import pytest

K8S = "aisg-context/k8s"
# Each: file, what it says, the mistake in its place, the check, and what its finding says.
MISTAKES = {
    "a misspelt field of a manifest": (
        f"{K8S}/volume.yml", "storageClassName:", "storageClass:", "kubernetes",
        ["volume.yml", "spec", "storageClass"],
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


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_deliberate_mistake_is_found_and_placed(find_mistake, mistake):
    find_mistake(*MISTAKES[mistake])


VALID = {
    "a group for volumes": ("jupyterlab.yml", "runAsNonRoot: true,", "runAsNonRoot: true, fsGroup: 2,"),
    "a rule of RBAC's own verbs": ("model-packager.yml", "get, list,", "use, get, list,"),
}


@pytest.mark.parametrize("valid", VALID)
def test_a_valid_edit_passes(edit, check, valid):
    name, before, after = VALID[valid]
    edit(f"{K8S}/{name}", before, after)
    assert check("kubernetes", "names").output == "kubernetes: ok\nnames: ok\n"
