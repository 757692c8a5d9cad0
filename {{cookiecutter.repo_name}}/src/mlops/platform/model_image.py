"""`make model-image` and `make serve-model-image`: the bundle as an image, with docker, podman or buildah.

An image of a model is called <prefix>/model:<first 12 of the run's id>. It is made of the builder
(docker/s2i-builder.Dockerfile) and is asked the examples that were packed with the model before it gets its name.
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
from . import images, user_errors
from .deploy import RECORD, read_record

FOLDER = Path("build/s2i")  # the Dockerfile and its context
# The instructions that `s2i build SOURCE BUILDER IMAGE --as-dockerfile FILE` writes (CreateDockerfile in s2i's
# pkg/build/strategies/dockerfile/dockerfile.go); the workflow on the cluster calls s2i itself.
DOCKERFILE = """\
FROM {builder}
LABEL "io.k8s.display-name"="{image}" \\
      "io.openshift.s2i.build.image"="{builder}" \\
      "io.openshift.s2i.build.source-location"={source}
ENV {environment}
USER root
COPY upload/src /tmp/src
RUN chown -R 1001:0 /tmp/src
USER 1001
RUN /s2i/bin/assemble
CMD /s2i/bin/run
"""


def has(program: str, image: str) -> bool:
    """Return whether this machine has the image."""
    words = ["buildah", "inspect", "--type=image"] if program == "buildah" else [program, "image", "inspect"]
    return images.succeeds(*words, image)


def write_dockerfile(bundle: Path, builder: str, image: str, folder: Path) -> None:
    """Write FOLDER/Dockerfile and the copy of the bundle that it takes in, FOLDER/upload/src."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle, folder / "upload/src", ignore=shutil.ignore_patterns("__pycache__"))
    variables = bundle_files.environment_of(bundle).items()
    environment = " \\\n      ".join(f"{name}={json.dumps(value)}" for name, value in variables)
    source = json.dumps(str(bundle))
    text = DOCKERFILE.format(builder=builder, image=image, source=source, environment=environment)
    (folder / "Dockerfile").write_text(text, encoding="utf-8")


@contextmanager
def command_in(program: str, image: str, *words: str, ports: dict[int, int] | None = None) -> Iterator[list[str]]:
    """Yield the command that runs `words` in a container of the image; the container is removed at the end.

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
    container = subprocess.check_output(["buildah", "from", "--pull-never", image], text=True).strip()
    try:
        yield ["buildah", "run", "--isolation=chroot", *settings, container, "--", *words]
    finally:
        images.succeeds("buildah", "rm", container)


def push_image(program: str, image: str, flags: tuple[str, ...]) -> str:
    """Push the image and return the digest that the registry has it by."""
    if program == "docker":
        images.run("docker", "push", *flags, image)
        names = json.loads(subprocess.check_output(["docker", "image", "inspect", image]))[0]["RepoDigests"]
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
    write_dockerfile(bundle, base, image, FOLDER)
    draft, context = f"{image}-untested", FOLDER.resolve()
    isolation = ["--isolation=chroot"] if program == "buildah" else []  # needs no privileges
    words = [*isolation, f"--platform={platform}", *(f"--label={name}={value}" for name, value in labels.items())]
    images.run(program, "build", f"--file={context / 'Dockerfile'}", f"--tag={draft}", *words, *flags, str(context))
    try:
        with command_in(program, draft, "/s2i/bin/smoke-test") as command:
            if subprocess.run(command, check=False).returncode:
                raise UserError("The image was not made: its model does not pass the smoke test, see above.")
        images.run(program, "tag", draft, image)
    finally:
        images.succeeds(program, "rmi", draft)


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
        command_in(program, image, "/s2i/bin/run", ports=ports) as command,
        local_server.started(command, ports[9000], ports[6000]) as (url, process),
    ):
        click.echo(f"Serving {image} at {url}. Ask it with `make predict`; Ctrl-C ends it.")
        code = process.wait()
    raise UserError(f"The server ended by itself with exit code {code}.")


if __name__ == "__main__":
    main(prog_name="model_image")
