"""The packaging workflow goes from the best run to the deployed model, and goes on after what can happen to it."""

from ..conftest import until
from .conftest import PACKAGING, main_component, main_image

STEPS = ["best", "bundle", "build-push", "smoke-test", "deploy"]


def test_the_best_run_becomes_the_model_that_serves(cluster, packaged):
    assert [packaged.tries(step)[-1]["phase"] for step in STEPS] == ["Succeeded"] * len(STEPS), packaged.status
    assert main_image(cluster) == packaged.output("build-push", "image")
    assert main_component(cluster)["metadata"]["labels"]["model/run"] == packaged.output("best", "run")
    claim = ("persistentvolumeclaim", f"{packaged.name}-work", PACKAGING, "--ignore-not-found")
    until(lambda: not cluster("get", *claim).stdout, 60, "its volume is there")


def test_a_failure_before_the_push_is_retried_from_there(cluster, repository, submit):
    # given a bundle, and no account that may push
    workflow = submit()
    workflow.wait_for("bundle")
    cluster("delete", "serviceaccount", "model-pusher", PACKAGING)
    # when the workflow has failed, the account exists again, and somebody retries
    try:
        assert workflow.end() in ("Failed", "Error")
    finally:
        cluster("apply", f"--filename={repository}/aisg-context/k8s/model-packager.yml")
    (bundle,) = workflow.tries("bundle")
    workflow.retry()
    # then it goes on with the bundle that there was
    assert workflow.end() == "Succeeded", workflow.status
    assert [node["id"] for node in workflow.tries("bundle")] == [bundle["id"]]


def test_a_refusal_is_not_tried_again(submit):
    workflow = submit(run="no-such-run")
    assert workflow.end() == "Failed"
    (tried,) = workflow.tries("best")
    assert tried["outputs"]["exitCode"] == "1"


def test_a_killed_controller_repeats_no_step(interrupted):
    assert [node["phase"] for step in STEPS for node in interrupted.tries(step)] == ["Succeeded"] * len(STEPS)


def test_no_step_writes_the_teams_volume(cluster, submit):
    workflow = submit()
    selector = f"--selector=workflows.argoproj.io/workflow={workflow.name}"

    def refused() -> bool:
        """Return whether the step's container cannot write; False while there is none."""
        touch = (PACKAGING, "--container=main", "--", "touch", "/polyaxon-v1-data/mine")
        pods = cluster.get("pods", PACKAGING, selector)["items"]
        done = [cluster("exec", pod["metadata"]["name"], *touch, check=False) for pod in pods]
        assert all(one.returncode for one in done), "it was written"
        return any("Read-only file system" in one.stderr for one in done)

    try:
        until(refused, 300, "no step was there to ask")
    finally:
        cluster("delete", "workflow", workflow.name, PACKAGING)
