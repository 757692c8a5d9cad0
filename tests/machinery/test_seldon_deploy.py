"""`make deploy` touches only a cluster of the repository's project, and says what it will do.

kubectl is the real one: it reads its configuration and builds with kustomize. tests/cluster asks a real API server.
"""

import re
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from mlops import project
from mlops.errors import UserError
from mlops.platform import deploy

OWN = project.cluster(ROOT)
OLD, NEW = (f"registry/model@sha256:{digit * 64}" for digit in "ab")


@pytest.fixture
def run(tmp_path, environment):
    """Run the program in an empty folder, with the contexts given: name to the name of their cluster."""

    def start(*words: str, **contexts: str) -> subprocess.CompletedProcess:
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": next(iter(contexts), ""),
            "contexts": [
                {"name": name, "context": {"cluster": cluster, "user": "u"}} for name, cluster in contexts.items()
            ],
            "clusters": [
                {"name": name, "cluster": {"server": "http://127.0.0.1:1"}} for name in set(contexts.values())
            ],
            "users": [{"name": "u", "user": {}}],
        }  # fmt: skip
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        return subprocess.run(
            [sys.executable, "-m", "mlops.platform.deploy", *words],
            cwd=tmp_path, env=environment | {"KUBECONFIG": str(tmp_path / "kubeconfig")},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return start


def cluster_of(project: str) -> str:
    return f"gke_{project}_{OWN['zone']}_{OWN['name']}"


@pytest.mark.parametrize(
    "cluster",
    [
        cluster_of("another-project"),
        cluster_of(OWN["project"] + "-2"),
        cluster_of("x" + OWN["project"]),
        f"gke_{OWN['project']}",
        "minikube",
        OWN["project"],
        "",
    ],
)
@pytest.mark.parametrize("name", ["here", cluster_of(OWN["project"])])  # what a context is called proves nothing
def test_a_context_of_another_project_is_refused_and_left_alone(run, cluster, name):
    done = run(f"--image={NEW}", "--yes", **{name: cluster})
    assert done.returncode == 1 and "not in this repository's project" in done.stderr
    assert OWN["project"] in done.stderr and "gcloud container clusters get-credentials" in done.stderr
    assert "127.0.0.1" not in done.stderr + done.stdout, "it was asked all the same"


def test_without_a_context_or_with_one_that_there_is_not_the_remedy_is_said(run):
    for done, told in (
        (run(f"--image={NEW}"), "current-context must exist"),
        (run(f"--image={NEW}", "--context=there", here=cluster_of(OWN["project"])), "cannot locate context there"),
    ):
        assert done.returncode == 1 and told in done.stderr and "gcloud container clusters" in done.stderr


@pytest.mark.parametrize(
    "image", ["registry/model:1", "registry/model", "registry/model@sha256:abc", "registry/model:1@latest"]
)
def test_an_image_that_is_not_named_by_its_digest_is_refused(run, image):
    done = run(f"--image={image}", "--dry-run", here=cluster_of(OWN["project"]))
    assert done.returncode == 1 and "sha256" in done.stderr


def test_the_workflow_deploys_images_of_this_repositorys_models_alone(run):
    done = run(f"--image={NEW}", "--in-cluster", "--dry-run")
    assert done.returncode == 1 and "not an image of this repository's models" in done.stderr
    own = f"{project.images(ROOT)[0]}/model@{NEW.partition('@')[2]}"
    assert run(f"--image={own}", "--in-cluster", "--dry-run").returncode == 0


def test_the_image_made_last_is_taken_once_it_was_pushed(run, tmp_path):
    own = cluster_of(OWN["project"])
    assert "make model-image" in run(here=own).stderr
    record = tmp_path / "build/model-image.json"
    record.parent.mkdir()
    record.write_text('{"image": "registry:5000/model:123", "run": "r1", "commit": null, "digest": null}')
    assert "ARGS=--push" in run(here=own).stderr
    record.write_text(record.read_text().replace('"digest": null', f'"digest": "{NEW.partition("@")[2]}"'))
    done = run("--dry-run", here=own)
    assert done.returncode == 0, done.stderr
    assert f"registry:5000/{NEW.partition('/')[2]}" in done.stdout and "model/run: r1" in done.stdout


def manifest_of(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout[done.stdout.index("apiVersion:") :])


def test_a_dry_run_prints_what_and_where_and_asks_nobody(run):
    done = run(f"--image={NEW}", "--run=abc", "--commit=def", "--dry-run", here=cluster_of(OWN["project"]))
    (predictor,) = manifest_of(done)["spec"]["predictors"]
    assert predictor["componentSpecs"][0]["spec"]["containers"][0]["image"] == NEW
    labels = predictor["componentSpecs"][0]["metadata"]["labels"]
    assert (labels["model/run"], labels["model/commit"]) == ("abc", "def")
    assert "to the context here" in done.stdout
    nowhere = run(f"--image={NEW}", "--run=abc", "--commit=def", "--dry-run")
    assert manifest_of(nowhere) == manifest_of(done) and "current-context must exist" in nowhere.stdout


@pytest.mark.parametrize("traffic", [0, 25, 100])
def test_a_canary_is_put_beside_what_serves_with_its_share(run, traffic):
    done = run(
        "--overlay=canary", f"--image={NEW}", f"--main-image={OLD}", f"--traffic={traffic}", "--dry-run",
        here=cluster_of(OWN["project"]),
    )  # fmt: skip
    main, candidate = manifest_of(done)["spec"]["predictors"]
    images = [one["componentSpecs"][0]["spec"]["containers"][0]["image"] for one in (main, candidate)]
    assert images == [OLD, NEW] and [main["traffic"], candidate["traffic"]] == [100 - traffic, traffic]


@pytest.mark.parametrize("overlay", ["canary", "shadow", "ab-test", "bandit"])
def test_the_pods_of_each_model_are_labelled_with_its_own_run(overlay):
    models = [{"image": image, "run": run, "commit": "c"} for image, run in ((OLD, "old"), (NEW, "new"))]
    manifest = deploy.build(overlay, models, traffic=10)
    runs = {
        component["spec"]["containers"][0]["image"]: component["metadata"]["labels"]["model/run"]
        for predictor in manifest["spec"]["predictors"]
        for component in predictor["componentSpecs"]
        if component["metadata"]["labels"]["model/role"] != "router"
    }
    assert runs == {OLD: "old", NEW: "new"}
    assert deploy.main_of(manifest)["run"] == "old"


@pytest.mark.parametrize("overlay", ["shadow", "ab-test", "bandit"])
def test_an_overlay_gets_both_images_by_their_digests(run, overlay):
    done = run(
        f"--overlay={overlay}", f"--image={NEW}", f"--main-image={OLD}", "--dry-run", here=cluster_of(OWN["project"])
    )
    containers = {
        (number, container["name"]): container["image"]
        for number, predictor in enumerate(manifest_of(done)["spec"]["predictors"])
        for component in predictor["componentSpecs"]
        for container in component["spec"]["containers"]
    }
    assert containers[0, "classifier"] == OLD and NEW in containers.values()
    assert all(re.fullmatch(r".+@sha256:[0-9a-f]{64}", image) for image in containers.values())
    assert containers.get((0, "bandit"), OLD) == OLD  # the router runs from the model's own image


def test_a_candidate_needs_something_that_serves_already():
    with pytest.raises(UserError, match="make deploy"):
        deploy.main_of(None)
