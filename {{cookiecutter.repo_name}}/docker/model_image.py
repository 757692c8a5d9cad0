"""`make model-image` and `make serve-model-image`: the bundle as an image, with docker, podman or buildah.

An image of a model is called <prefix>/model:<first 12 of the run's id>. It is made of the builder
(docker/s2i-builder.Dockerfile) by the Dockerfile that s2i writes, and is asked the digits that were packed with the
model before it gets its name.
"""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import click
import images
import s2i_dockerfile

# The package's name is the team's; pyproject.toml has it, as the module of its command.
PROJECT = tomllib.loads((images.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGE = next(iter(PROJECT["scripts"].values())).partition(".")[0]
bundle_files, errors, files, local_server, signals = (
    import_module(f"{PACKAGE}.{name}") for name in ("bundle_files", "errors", "files", "local_server", "signals")
)

FOLDER = Path("build/s2i")  # the Dockerfile and its context
RECORD = Path("build/model-image.json")  # the image made last, for `make deploy` and `make serve-model-image`
BUILDER = click.option(
    "--builder", callback=lambda context, parameter, wanted: images.builder(wanted=wanted),
    type=click.Choice(images.BUILDERS), help="Default: the first that is installed.",
)  # fmt: skip
FLAGS = click.option("--flag", "flags", multiple=True, help="One more word for the builder, such as --flag=--no-cache.")


def read_record() -> dict:
    """The image made last: its name, its run, and its digest once it was pushed."""
    try:
        return json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise click.ClickException("There is no image of a model. Make it with: make model-image") from None


def write_record(record: dict) -> None:
    with files.atomic_file(RECORD) as draft:
        draft.write_text(json.dumps(record, indent=1), encoding="utf-8")


def has(program: str, image: str) -> bool:
    """Whether this machine has the image."""
    words = {"buildah": ["buildah", "inspect", "--type=image"]}.get(program, [program, "image", "inspect"])
    return not subprocess.run([*words, image], capture_output=True, check=False).returncode


def write_dockerfile(bundle: Path, builder: str, image: str) -> None:
    """By s2i where it is installed, else by the reproduction of what it writes."""
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
    """The command that runs `words` in a container of the image; what was made for it is removed with the block.

    Args:
        ports: of this machine, for those inside.
    """
    if program != "buildah":
        published = [f"--publish=127.0.0.1:{outside}:{inside}" for inside, outside in (ports or {}).items()]
        yield [program, "run", "--rm", *published, image, *words]
        return
    # buildah has no network of its own to map: the server is told the ports themselves
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
    with command_in(program, image, "python", "/s2i/bin/smoke_test.py") as command:
        if subprocess.run(command, check=False).returncode:
            raise click.ClickException("The image was not made: its model does not pass the smoke test, see above.")


def push_image(program: str, image: str, flags: tuple[str, ...]) -> str:
    """Push and give the digest that the registry has it by."""
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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """The bundle as an image."""
    signals.exit_on_all()


@main.command()
@BUILDER
@FLAGS
@click.option("--bundle", type=click.Path(path_type=Path), default=bundle_files.BUNDLE)
@click.option("--push", is_flag=True, help="Push it, and keep the digest for make deploy.")
@click.option("--push-flag", "push_flags", multiple=True, help="One more word for the push.")
@click.option("--prefix", help="In place of the prefix in pyproject.toml.")
def build(
    builder: str, flags: tuple[str, ...], bundle: Path, push: bool, push_flags: tuple[str, ...], prefix: str | None
) -> None:
    """Make the image of the bundle."""
    metadata = bundle_files.read_metadata(bundle)
    if metadata is None:
        raise click.ClickException(f"There is no bundle at {bundle}. Make it with: make package")
    own_prefix, version = images.settings()
    base, run_id = f"{own_prefix}/s2i-builder:{version}", metadata["run"]["uuid"]
    image = f"{prefix or own_prefix}/model:{run_id[:12]}"
    if not has(builder, base):
        images.run(sys.executable, "docker/images.py", "build", f"--builder={builder}", "s2i-builder")
    write_dockerfile(bundle, base, image)
    labels = {"run": run_id, "model-digest": metadata["model_digest"], "commit": metadata["code"]["commit"] or "none"}
    words = [f"--label={name}={value}" for name, value in labels.items()]
    draft = f"{image}-untested"
    isolation = ["--isolation=chroot"] if builder == "buildah" else []  # needs no privileges
    images.run(
        builder, "build", *isolation, f"--file={FOLDER.resolve() / 'Dockerfile'}", f"--tag={draft}", *words, *flags,
        str(FOLDER.resolve()),
    )  # fmt: skip
    try:
        smoke_test(builder, draft)
        images.run(builder, "tag", draft, image)
    finally:
        subprocess.run([builder, "rmi", draft], capture_output=True, check=False)
    record = {"image": image, "run": run_id, "commit": metadata["code"]["commit"], "digest": None}
    if push:
        record["digest"] = push_image(builder, image, push_flags)
    write_record(record)
    click.echo(f"{image}{'@' + record['digest'] if push else ''}: run it with `make serve-model-image`")


@main.command()
@BUILDER
@click.option("--image", help="Default: the one that make model-image made last.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
def serve(builder: str, image: str | None, port: int) -> None:
    """Run the image until Ctrl-C; `make predict` finds it."""
    image = image or read_record()["image"]
    if not has(builder, image):
        raise click.ClickException(f"{builder} has no image {image} here. Make it with: make model-image")
    ports = {9000: port or local_server.free_port(), 5000: local_server.free_port(), 6000: local_server.free_port()}
    try:
        with (
            command_in(builder, image, "/s2i/bin/run", ports=ports) as command,
            local_server.started(command, ports[9000], ports[6000]) as (url, process),
        ):
            click.echo(f"Serving {image} at {url}. Ask it with `make predict`; Ctrl-C ends it.")
            code = process.wait()
    except errors.UserError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("Ended.")
        return
    raise click.ClickException(f"The server ended by itself with exit code {code}.")


if __name__ == "__main__":
    sys.exit(main(prog_name="model_image"))
