"""`make model-image` and `make serve-model-image`: the bundle as an image, with docker, podman or buildah.

An image of a model is called <prefix>/model:<first 12 of the run's id>. It is made of the builder
(docker/s2i-builder.Dockerfile) by the Dockerfile that s2i writes, and is asked the examples that were packed with the
model before it gets its name.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .. import files, local_server, processes, project
from ..errors import UserError
from ..serving import bundle_files
from . import images, s2i_dockerfile, user_errors

FOLDER = Path("build/s2i")  # the Dockerfile and its context
RECORD = Path("build/model-image.json")  # the image made last, for `make deploy` and `make serve-model-image`


def read_record() -> dict:
    """Return the image made last: its name, its run, and its digest once it was pushed."""
    try:
        return json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError("There is no image of a model. Make it with: make model-image") from None


def has(program: str, image: str) -> bool:
    """Return whether this machine has the image."""
    words = ["buildah", "inspect", "--type=image"] if program == "buildah" else [program, "image", "inspect"]
    return not subprocess.run([*words, image], capture_output=True, check=False).returncode


def write_dockerfile(bundle: Path, builder: str, image: str) -> None:
    """Write the Dockerfile by s2i where it is installed, else by the reproduction of what it writes."""
    if not shutil.which("s2i"):
        click.echo("s2i is not installed: a reproduction of the Dockerfile that it writes is built.")
        s2i_dockerfile.write(bundle, builder, image, FOLDER)
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    dockerfile = FOLDER.resolve() / "Dockerfile"
    images.run(
        "s2i", "build", str(bundle.resolve()), builder, image, "--copy", f"--as-dockerfile={dockerfile}",
        f"--image-scripts-url=image://{s2i_dockerfile.SCRIPTS}",
    )  # fmt: skip


@contextmanager
def command_in(program: str, image: str, *words: str, ports: dict[int, int] | None = None) -> Iterator[list[str]]:
    """Give the command that runs `words` in a container of the image; the container goes with the block.

    Args:
        ports: of this machine, for those inside.
    """
    if program != "buildah":
        published = [f"--publish={processes.HOST}:{outside}:{inside}" for inside, outside in (ports or {}).items()]
        yield [program, "run", "--rm", *published, image, *words]
        return
    # buildah maps no ports: the server listens at those of this machine
    names = {9000: "HTTP", 5000: "GRPC", 6000: "METRICS"}
    settings = [f"--env=PREDICTIVE_UNIT_{names[inside]}_SERVICE_PORT={port}" for inside, port in (ports or {}).items()]
    container = subprocess.run(
        ["buildah", "from", "--pull-never", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        yield ["buildah", "run", "--isolation=chroot", *settings, container, "--", *words]
    finally:
        subprocess.run(["buildah", "rm", container], capture_output=True, check=False)


def smoke_test(program: str, image: str) -> None:
    """Start the image's server in it and ask what the model answered when it was packed."""
    with command_in(program, image, f"{s2i_dockerfile.SCRIPTS}/smoke-test") as command:
        if subprocess.run(command, check=False).returncode:
            raise UserError("The image was not made: its model does not pass the smoke test, see above.")


def push_image(program: str, image: str, flags: tuple[str, ...]) -> str:
    """Push the image and return the digest that the registry has it by."""
    if program == "docker":
        images.run("docker", "push", *flags, image)
        answer = subprocess.run(["docker", "image", "inspect", image], check=True, capture_output=True, text=True)
        names = json.loads(answer.stdout)[0]["RepoDigests"]
        return next(name for name in names if name.startswith(image.rpartition(":")[0])).partition("@")[2]
    digest = Path("build/model-image.digest").resolve()
    images.run(program, "push", f"--digestfile={digest}", *flags, image)
    text = digest.read_text(encoding="utf-8").strip()
    digest.unlink()
    return text


def build_image(
    program: str, bundle: Path, base: str, image: str, platform: str, labels: dict[str, str], flags: tuple[str, ...]
) -> None:
    """Build the image of a bundle, and give it its name once it passed the smoke test."""
    if not has(program, base):
        command = [sys.executable, "-m", f"{__package__}.images", "build", f"--builder={program}"]
        images.run(*command, f"--platform={platform}", "s2i-builder")
    write_dockerfile(bundle, base, image)
    draft, context = f"{image}-untested", FOLDER.resolve()
    isolation = ["--isolation=chroot"] if program == "buildah" else []  # needs no privileges
    words = [*isolation, f"--platform={platform}", *(f"--label={name}={value}" for name, value in labels.items())]
    images.run(program, "build", f"--file={context / 'Dockerfile'}", f"--tag={draft}", *words, *flags, str(context))
    try:
        smoke_test(program, draft)
        images.run(program, "tag", draft, image)
    finally:
        subprocess.run([program, "rmi", draft], capture_output=True, check=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """The bundle as an image."""


@main.command()
@images.BUILDER
@images.FLAGS
@images.PLATFORM
@click.option("--bundle", type=click.Path(path_type=Path), default=bundle_files.BUNDLE)
@click.option("--push", is_flag=True, help="Push it, and keep the digest for make deploy.")
@click.option("--push-flag", "push_flags", multiple=True, help="One more word for the push.")
@click.option("--prefix", help="In place of the prefix in pyproject.toml.")
@user_errors()
def build(
    builder: str | None, flags: tuple[str, ...], platform: str, bundle: Path, push: bool,
    push_flags: tuple[str, ...], prefix: str | None,
) -> None:  # fmt: skip
    """Make the image of the bundle."""
    metadata = bundle_files.read_metadata(bundle)
    if metadata is None:
        raise UserError(f"There is no bundle at {bundle}. Make it with: make package")
    program = images.find_builder(builder)
    own_prefix, version = project.images()
    run_id, commit = metadata["run"]["uuid"], metadata["code"]["commit"]
    image = f"{prefix or own_prefix}/model:{run_id[:12]}"
    labels = {"run": run_id, "model-digest": metadata["model_digest"], "commit": commit or "none"}
    build_image(program, bundle, f"{own_prefix}/s2i-builder:{version}", image, platform, labels, flags)
    record = {"image": image, "run": run_id, "commit": commit, "digest": None}
    if push:
        record["digest"] = push_image(program, image, push_flags)
    with files.atomic_file(RECORD) as draft:
        draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
    click.echo(f"{image}{'@' + record['digest'] if push else ''}: run it with `make serve-model-image`")


@main.command()
@images.BUILDER
@click.option("--image", help="Default: the one that make model-image made last.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@user_errors()
def serve(builder: str | None, image: str | None, port: int) -> None:
    """Run the image until Ctrl-C; `make predict` finds it."""
    image = image or read_record()["image"]
    program = images.find_builder(builder)
    if not has(program, image):
        raise UserError(f"{program} has no image {image} here. Make it with: make model-image")
    ports = {9000: port or processes.free_port(), 5000: processes.free_port(), 6000: processes.free_port()}
    with (
        command_in(program, image, f"{s2i_dockerfile.SCRIPTS}/run", ports=ports) as command,
        local_server.started(command, ports[9000], ports[6000]) as (url, process),
    ):
        click.echo(f"Serving {image} at {url}. Ask it with `make predict`; Ctrl-C ends it.")
        code = process.wait()
    raise UserError(f"The server ended by itself with exit code {code}.")


if __name__ == "__main__":
    main(prog_name="model_image")
