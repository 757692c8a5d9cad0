"""Build, smoke-test, push, pull, run and ask the image of a model, for real.

    python tools/model_image.py REPOSITORY

REPOSITORY is a rendered one with two trained runs; VENV as its Makefile has it, and the Python is that environment's.
Needs Debian's buildah, crun, mmdebstrap and docker-registry, and root. The Dockerfile of the image is what s2i would
write (src/mlops/platform/model_image.py in the repository), because s2i itself is in no package registry.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import yaml

HERE = Path(__file__).parent
BASE = "docker.io/library/python:3.11-slim-bookworm"
MOST = 250e6  # bytes of a model's image over the Python image it starts from
MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def run(*command: str, cwd: Path | None = None, fails: bool = False) -> str:
    """Run a command to its expected end and give what it printed."""
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if (done.returncode != 0) != fails:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def say(text: str, began: float | None = None) -> None:
    print(text + (f" ({time.monotonic() - began:.1f} s)" if began else ""), flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def registry(folder: Path):
    """Debian's docker-registry on loopback; gives its host:port."""
    port = free_port()
    settings = folder / "registry.yml"
    settings.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/"):
                break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def blobs(host: str, image: str, digest: str) -> dict[str, int]:
    """The layers and the configuration of an image in the registry: digest and compressed bytes."""
    address = f"http://{host}/v2/{image}/manifests/{digest}"
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept": MANIFEST})) as response:
        manifest = json.load(response)
    return {item["digest"]: item["size"] for item in [*manifest["layers"], manifest["config"]]}


def size(image: str) -> int:
    """Bytes of an image on this machine."""
    (answer,) = {item["id"]: item for item in json.loads(run("buildah", "images", "--json", image))}.values()
    number, unit = answer["size"].split()
    return int(float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])


def model_image(repository: Path, host: str, *words: str, fails: bool = False) -> str:
    """`make model-image`, pushed to the registry."""
    push = f"--push --push-flag=--tls-verify=false --prefix={host}/{repository.name}"
    return run("make", "model-image", f"ARGS=--builder=buildah {push} {' '.join(words)}", cwd=repository, fails=fails)


def ask(repository: Path, python: Path, image: str) -> str:
    """Serve the image with `make serve-model-image` and ask it over HTTP, as a user and as the smoke test."""
    servers = repository / "build/servers"  # where `make predict` finds a server
    server = subprocess.Popen(
        ["make", "serve-model-image", f"ARGS=--builder=buildah --image={image}"],
        cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(300):
            if addresses := list(servers.glob("*/addresses.json")):
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"{image} did not serve within 30 s")
        url = json.loads(addresses[0].read_text())["url"]
        say(run("make", "predict", cwd=repository).splitlines()[-1])
        smoke_test = ["-m", "mlops.serving.smoke_test", f"--url={url}", "--bundle=build/bundle"]
        return run("env", "PYTHONPATH=src", str(python), *smoke_test, cwd=repository)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def route(repository: Path, python: Path, image: str) -> str:
    """Run the image as the bandit's router, with the variables of its overlay, and ask it for a branch."""
    built = run(str(python.with_name("kubectl")), "kustomize", "aisg-context/seldon/overlays/bandit", cwd=repository)
    components = yaml.safe_load(built)["spec"]["predictors"][0]["componentSpecs"]
    (bandit,) = [one["spec"]["containers"][0] for one in components if one["spec"]["containers"][0]["name"] == "bandit"]
    ports = [free_port() for _ in range(3)]
    names = [f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT" for kind in ("HTTP", "GRPC", "METRICS")]
    settings = {item["name"]: item["value"] for item in bandit["env"]} | dict(zip(names, map(str, ports), strict=True))
    container = run("buildah", "from", "--pull-never", image).strip()
    words = [f"--env={name}={value}" for name, value in settings.items()]
    server = subprocess.Popen(
        ["buildah", "run", "--isolation=chroot", *words, container, "--", "/s2i/bin/run"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{ports[0]}/route"
    question = urllib.request.Request(address, b'{"data": {"ndarray": [[0]]}}', {"Content-Type": "application/json"})
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(question) as response:
                answer = json.load(response)
                break
            time.sleep(0.1)
        return f"as the bandit's router it says {answer['data']['ndarray']}, {answer['meta']['tags']}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
        run("buildah", "rm", container)


def spoilt(bundle: Path, folder: Path) -> dict[str, Path]:
    """Copies of the bundle that must be refused."""
    corrupted, differing = folder / "corrupted", folder / "differing"
    for copy in (corrupted, differing):
        shutil.copytree(bundle, copy)
    model = corrupted / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    answers = differing / "recorded-answers.json"
    recorded = json.loads(answers.read_text())
    recorded[3]["outputs"].reverse()
    answers.write_text(json.dumps(recorded))
    return {"one bit of the model flipped": corrupted, "one recorded answer turned round": differing}


def push_two_models(repository: Path, host: str) -> dict:
    """Make and push the images of two runs; the second adds two blobs to the registry. Return its record."""
    known: dict[str, int] = {}
    for number, path in enumerate(sorted((repository / "outputs/runs").iterdir())[:2], 1):
        run("make", "package", f"RUN={path.name}", cwd=repository)
        began = time.monotonic()
        model_image(repository, host)
        record = json.loads((repository / "build/model-image.json").read_text())
        pushed = blobs(host, f"{repository.name}/model", record["digest"])
        new = {digest: count for digest, count in pushed.items() if digest not in known}
        known |= pushed
        megabytes = size(record["image"]) / 1e6
        say(
            f"model {number}: {megabytes:.0f} MB, {len(pushed)} blobs of {sum(pushed.values())} bytes, "
            f"{len(new)} of {sum(new.values())} new in the registry", began,
        )  # fmt: skip
        assert size(record["image"]) - size(BASE) <= MOST, "the image is too large"
    assert len(new) == 2 and sum(new.values()) < 1e6, "a second model adds more than itself"
    return record


def refuse_spoilt(repository: Path, host: str, folder: Path) -> None:
    """No image is made of a spoilt bundle; show the reason that is given."""
    for what, copy in spoilt(repository / "build/bundle", folder).items():
        shutil.copytree(copy, repository / "build/spoilt")
        try:
            printed = model_image(repository, host, "--bundle=build/spoilt", fails=True)
        finally:
            shutil.rmtree(repository / "build/spoilt")
        lines = [line for line in printed.splitlines() if not line.startswith(("STEP", "buildah"))]
        reasons = [line for line in lines if "REFUSED" in line or "rror:" in line or "bundle" in line]
        say(f"{what}:\n  " + "\n  ".join(reasons))


def main(repository: Path) -> None:
    python = Path(os.environ.get("VENV", repository / ".venv")) / "bin/python"
    with tempfile.TemporaryDirectory() as name, registry(Path(name)) as host:
        folder = Path(name)
        began = time.monotonic()
        run(str(HERE / "build_images.sh"), "build", str(repository), str(python), "s2i-builder")
        builder = next(
            line.split()[0] for line in run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}").splitlines()
            if f"/{repository.name}/s2i-builder:" in line
        )  # fmt: skip
        say(f"builder: {size(builder) / 1e6:.0f} MB, base {size(BASE) / 1e6:.0f} MB", began)
        record = push_two_models(repository, host)
        image = f"{record['image'].rpartition(':')[0]}@{record['digest']}"
        run("buildah", "rmi", record["image"])
        began = time.monotonic()
        run("buildah", "pull", "--tls-verify=false", image)
        say(f"pulled {image}", began)
        say(ask(repository, python, image).strip())
        say(route(repository, python, image))
        container = run("buildah", "from", "--pull-never", image).strip()
        found = run("buildah", "run", "--isolation=chroot", container, "--", "pip", "list")
        run("buildah", "rm", container)
        assert "torch" not in found and "onnxruntime" in found, found
        refuse_spoilt(repository, host, folder)
        run("buildah", "rmi", "--force", image)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
