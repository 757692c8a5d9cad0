"""`make deploy` and `make canary`: the model's image, by its digest, to the cluster of this repository.

Prints what it would apply and to which context, asks, applies it, and waits until its pods serve. When they do not get
there, what was deployed before is put back; until then the old pods are kept, and go on answering.
The workflow's last step is this program too, with --in-cluster: there the pod's own account says which cluster it is.
In that image there are only click, PyYAML and the standard library.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import yaml

from .. import project
from ..errors import UserError
from . import rollout, user_errors

SELDON = project.ROOT / "aisg-context/seldon"
RECORD = Path("build/model-image.json")  # the image that make model-image made last
NAMESPACE, UNKNOWN = "seldon", "unknown"
KIND = "seldondeployments.machinelearning.seldon.io"
DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
# The machine's own kubectl, which knows how to log in; the environment's where there is none
PLACES = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])


def kubectl(*words: str, text: str | None = None) -> subprocess.CompletedProcess:
    """Run kubectl and return its exit code and what it printed."""
    program = shutil.which("kubectl", path=PLACES)
    if not program:
        raise UserError("kubectl is not installed: type make check, or see https://kubernetes.io/docs/tasks/tools/")
    return subprocess.run([program, *words], input=text, capture_output=True, text=True, check=False)


def read_record() -> dict:
    """Return the image that make model-image made last: its name, run and commit, and its digest once it was pushed."""
    try:
        return json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError("There is no image of a model. Make it with: make model-image") from None


class Cluster:
    """kubectl on one cluster."""

    def __init__(self, context: str | None) -> None:
        self.words = [f"--namespace={NAMESPACE}"] + ([f"--context={context}"] if context else [])

    def get(self, *words: str) -> dict | None:
        """Return what kubectl gets, or None where there is none."""
        answer = kubectl(*self.words, "get", *words, "--output=json", "--ignore-not-found")
        if answer.returncode:
            raise UserError(f"kubectl: {_last_line(answer.stderr)}")
        return json.loads(answer.stdout) if answer.stdout.strip() else None

    def made(self, kind: str, name: str) -> list[dict]:
        """Return what Seldon and Kubernetes made of a deployment."""
        return (self.get(kind, f"--selector=seldon-deployment-id={name}") or {}).get("items", [])

    def look(self, manifest: dict) -> rollout.Look:
        """Return how far the cluster is with a manifest that was applied."""
        name = manifest["metadata"]["name"]
        deployed = self.get(KIND, name) or manifest
        status = deployed.get("status") or {}
        rolled_out = rollout.rolled_out(manifest, self.made("deployments.apps", name))
        replaced = rollout.images(deployed) != rollout.images(manifest)
        return rollout.Look(status.get("state"), status.get("description"), rolled_out, replaced)

    def troubles(self, name: str) -> str:
        """Return why a deployment's pods do not run, as far as this account may see it."""
        with contextlib.suppress(UserError):
            return rollout.troubles(self.made("deployments.apps,pods", name))
        return ""

    def origin(self, name: str, image: str) -> dict[str, str]:
        """Return the run and commit of an image that the deployment has run, as far as this account may see them."""
        with contextlib.suppress(UserError):
            for pod in (one["spec"]["template"] for one in self.made("replicasets.apps", name)):
                carried = pod["metadata"]["labels"]
                labels = {label: carried.get(f"model/{label}", UNKNOWN) for label in ("run", "commit")}
                if labels["run"] != UNKNOWN and image in [one["image"] for one in pod["spec"]["containers"]]:
                    return labels
        return {}

    def apply(self, manifest: dict) -> None:
        answer = kubectl(*self.words, "apply", "--filename=-", text=json.dumps(manifest))
        if answer.returncode:
            raise UserError(f"kubectl did not apply it: {_last_line(answer.stderr)}")
        click.echo(answer.stdout.strip())


def _last_line(text: str) -> str:
    """Return kubectl's message; the lines before it are its log."""
    return (text.strip().splitlines() or ["it gave no reason"])[-1]


def check_context(wanted: str | None) -> str:
    """Return the context to use, once it is known to be one of this repository's project.

    gcloud calls a cluster gke_PROJECT_ZONE_NAME in kubectl's configuration, whatever its context is called.
    """
    own = project.cluster()
    remedy = (
        f"Get the right one: gcloud container clusters get-credentials {own['name']} --zone={own['zone']} "
        f"--project={own['project']}, or choose another (kubectl config get-contexts): --context NAME"
    )
    answer = kubectl("config", "view", "--minify", "--output=json", *([f"--context={wanted}"] if wanted else []))
    if answer.returncode:
        raise UserError(f"kubectl: {_last_line(answer.stderr)}. {remedy}")
    config = json.loads(answer.stdout)
    name, cluster = config["current-context"], config["contexts"][0]["context"].get("cluster", "")
    parts = cluster.split("_")
    if len(parts) != 4 or parts[:2] != ["gke", own["project"]]:
        raise UserError(
            f"The context {name} is of the cluster {cluster or '(none)'}, which is not in this repository's project, "
            f"{own['project']}. Nothing was touched. {remedy}"
        )
    return name


def build(overlay: str, models: list[dict], traffic: int) -> dict:
    """Return the SeldonDeployment to apply, as kustomize makes it; Seldon's webhook judges it when it is applied.

    Put over the overlay: the images by digest, the run and the commit as labels, and a canary's share of the traffic.

    Args:
        models: the one that serves, and the candidate beside it, if any: {"image", "run", "commit"}.
    """
    patch: dict[str, object] = {}
    images = []
    for number, model in enumerate(models):
        predictor, component = (number, 0) if overlay in ("canary", "shadow") else (0, number)
        for label in ("run", "commit"):
            field = f"/spec/predictors/{predictor}/componentSpecs/{component}/metadata/labels/model~1{label}"
            patch[field] = model[label]
        if overlay == "canary":
            patch[f"/spec/predictors/{number}/traffic"] = traffic if number else 100 - traffic
        name, _, digest = model["image"].partition("@")
        written = "candidate" if number else f"{project.images()[0]}/model"  # by the overlays and by the base
        images.append({"name": written, "newName": name, "digest": digest})
    changes = [{"op": "replace", "path": field, "value": value} for field, value in patch.items()]
    source = SELDON / ("base" if overlay == "base" else f"overlays/{overlay}")
    with tempfile.TemporaryDirectory() as folder:
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(source.resolve(), Path(folder).resolve())],  # kustomize takes no other
            "images": images,
            "patches": [{"target": {"kind": "SeldonDeployment"}, "patch": json.dumps(changes)}],
        }
        Path(folder, "kustomization.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        built = kubectl("kustomize", folder)
    if built.returncode:
        raise UserError(f"kustomize: {built.stderr.strip()}")
    return yaml.safe_load(built.stdout)


def describe(manifest: dict) -> str:
    """Return what a manifest deploys, in a few lines."""
    lines = [f"SeldonDeployment {manifest['metadata']['name']} in {manifest['metadata']['namespace']}"]
    for predictor in manifest["spec"]["predictors"]:
        share = "a shadow" if predictor.get("shadow") else f"{predictor.get('traffic', 100)} % of the traffic"
        lines.append(f"  predictor {predictor['name']}: {share}")
        for component in predictor["componentSpecs"]:
            lines += [f"    {one['name']}: {one['image']}" for one in component["spec"]["containers"]]
    return "\n".join(lines)


def main_of(deployed: dict | None) -> dict:
    """Return the image, run and commit that serve now, for an overlay that puts a candidate beside them."""
    if deployed is None:
        raise UserError("Nothing is deployed that a candidate could stand beside. Start with: make deploy")
    component = deployed["spec"]["predictors"][0]["componentSpecs"][0]
    labels = (component.get("metadata") or {}).get("labels") or {}
    image = component["spec"]["containers"][0]["image"]
    return {"image": image, "run": labels.get("model/run", UNKNOWN), "commit": labels.get("model/commit", UNKNOWN)}


def restorable(deployed: dict) -> dict:
    """Return what was deployed, without what the cluster wrote into it."""
    metadata = deployed["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    return {"apiVersion": deployed["apiVersion"], "kind": deployed["kind"], "metadata": kept, "spec": deployed["spec"]}


def roll_out(cluster: Cluster, manifest: dict, before: dict | None, timeout: float) -> None:
    """Apply and wait; put back what was there when the pods do not get there."""
    name = manifest["metadata"]["name"]
    cluster.look(manifest)  # who may not look is told so before anything changes
    cluster.apply(manifest)
    seen = rollout.wait(lambda: cluster.look(manifest), timeout)
    if seen.serves:
        address = f"http://<gateway>:8003/seldon/{NAMESPACE}/{name}/api/v1.0/predictions"
        click.echo(f"{name} serves. Ask it: make predict URL={address}")
        return
    why = f"{seen}. {cluster.troubles(name)}"
    hint = f"See kubectl --namespace={NAMESPACE} describe sdep {name} and its pods' logs."
    if seen.replaced:
        raise UserError(f"Another image was deployed meanwhile, by somebody else. Nothing was put back. {hint}")
    if seen.rolled_out:
        raise UserError(f"Its pods run, but {seen}: it may get no requests. It is left as it is. {hint}")
    if before is None:
        raise UserError(f"It does not serve: {why}It was the first, so it is left as it is. {hint}")
    cluster.apply(restorable(before))
    raise UserError(f"It does not serve: {why}What was deployed before was put back. {hint}")


def given_image(image: str | None, run: str | None, commit: str | None) -> dict:
    """Return the image to deploy: the one given, else the one that make model-image pushed last."""
    if not image:
        record = read_record()
        if not record.get("digest"):
            raise UserError(f"{record['image']} was not pushed. Push it: make model-image ARGS=--push")
        image, run, commit = f"{record['image'].rpartition(':')[0]}@{record['digest']}", record["run"], record["commit"]
    if not DIGEST.fullmatch(image):
        rule = "NAME@sha256:<64 hexadecimal digits>. A tag can come to mean another image"
        raise UserError(f"{image} does not name an image by its digest, {rule}.")
    return {"image": image, "run": run or UNKNOWN, "commit": commit or UNKNOWN}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--overlay", type=click.Choice(["base", "canary", "shadow", "ab-test", "bandit"]), default="base")
@click.option("--image", help="NAME@sha256:... Default: the one that make model-image pushed last.")
@click.option("--run", help="Run that the image is of, for the labels.")
@click.option("--commit", help="Commit that the run is of, for the labels.")
@click.option("--main-image", help="Image that the candidate stands beside. Default: the one that serves now.")
@click.option("--traffic", type=click.IntRange(0, 100), default=10, help="Share of a canary's candidate, in percent.")
@click.option("--context", help="Context of kubectl. Default: the current one.")
@click.option("--in-cluster", is_flag=True, help="Use the account of the pod that this runs in.")
@click.option("--dry-run", is_flag=True, help="Print the whole manifest and touch nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--timeout", type=click.FloatRange(min=1), default=600, help="Seconds to wait until it serves.")
@user_errors()
def main(
    overlay: str, image: str | None, run: str | None, commit: str | None, main_image: str | None, traffic: int,
    context: str | None, in_cluster: bool, dry_run: bool, yes: bool, timeout: float,
) -> None:  # fmt: skip
    """Deploy the model's image with Seldon."""
    new = given_image(image, run, commit)
    own = f"{project.images()[0]}/model@"
    if in_cluster and not new["image"].startswith(own):  # who may submit a workflow chooses what its steps are given
        raise UserError(f"{new['image']} is not an image of this repository's models, {own}sha256:...")
    offline = dry_run and (overlay == "base" or main_image)  # it asks no cluster
    place = "(of this pod)"
    try:
        context = None if in_cluster else check_context(context)
        place = context or place
    except UserError as error:
        if context or not offline:
            raise
        place = f"(none: {error})"
    cluster = Cluster(context)
    name = yaml.safe_load((SELDON / "base/deployment.yml").read_text(encoding="utf-8"))["metadata"]["name"]
    before = None if offline else cluster.get(KIND, name)
    if new["run"] == UNKNOWN and not offline:
        new |= cluster.origin(name, new["image"])
    models = [new]
    if overlay != "base":
        models = [given_image(main_image, None, None) if main_image else main_of(before), new]
    manifest = build(overlay, models, traffic)
    replaced = describe(before) if before else "(not looked at)" if offline else "nothing"
    click.echo(f"{describe(manifest)}\nto the context {place}, in place of:\n{replaced}")
    if dry_run:
        click.echo(yaml.safe_dump(manifest, sort_keys=False))
        return
    if not yes and not click.confirm("Apply it?"):
        raise UserError("Nothing was changed.")
    roll_out(cluster, manifest, before, timeout)


if __name__ == "__main__":
    main(prog_name="deploy")
