"""`make images`, `login` and `push`: the images of this repository, by docker, podman or buildah, whichever is here.

An image is made of docker/NAME.Dockerfile and called <prefix>/NAME:<version>, both from pyproject.toml.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
BUILDERS = ["docker", "podman", "buildah"]
NAMES = sorted(path.name.removesuffix(".Dockerfile") for path in (ROOT / "docker").glob("*.Dockerfile"))


def settings() -> tuple[str, str]:
    """The prefix and the version that all images share."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["tool"]["images"]["prefix"], project["project"]["version"]


def builder(context=None, parameter=None, wanted: str | None = None) -> str:
    """The program asked for, or the first of those that can build and push an image."""
    for name in [wanted] if wanted else BUILDERS:
        if shutil.which(name):
            return name
    raise click.ClickException("This needs docker, podman or buildah; see https://docs.docker.com/engine/install/")


def run(*command: str) -> None:
    click.echo(" ".join(command))
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        raise click.ClickException(f"{command[0]} ended with exit code {code}; its own message stands above.")


def source() -> dict[str, str]:
    """The commit of the source and whether files differ from it, as build arguments; nothing outside of git."""
    try:
        commit, changes = (
            subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"GIT_COMMIT": commit, "GIT_DIRTY": "true" if changes else "false"}


def with_builder(command):
    return click.option("--builder", type=click.Choice(BUILDERS), callback=builder, help="Default: the first here.")(
        command
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Build and push the images of this repository."""


@main.command()
@with_builder
@click.option("--accelerator", type=click.Choice(["cpu", "cuda"]), default="cpu", help="For the images with torch.")
@click.option("--flag", "flags", multiple=True, help="One more word for the builder, such as --flag=--no-cache.")
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
def build(builder: str, accelerator: str, flags: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Build the images called NAMES, or all."""
    prefix, version = settings()
    for name in names or NAMES:
        arguments = source() | {"VERSION": version}
        dockerfile = f"docker/{name}.Dockerfile"
        if "ARG ACCELERATOR" in (ROOT / dockerfile).read_text(encoding="utf-8"):
            arguments["ACCELERATOR"] = accelerator
        words = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        run(builder, "build", f"--file={dockerfile}", f"--tag={prefix}/{name}:{version}", *words, *flags, ".")


@main.command()
@with_builder
@click.option("--flag", "flags", multiple=True, help="One more word for the builder.")
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
def push(builder: str, flags: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Push the images called NAMES, or all."""
    prefix, version = settings()
    for name in names or NAMES:
        run(builder, "push", *flags, f"{prefix}/{name}:{version}")


@main.command()
@with_builder
@click.option("--flag", "flags", multiple=True, help="One more word for the builder.")
def login(builder: str, flags: tuple[str, ...]) -> None:
    """Log in to the images' registry with an access token of Google's, which is read from the standard input."""
    token = sys.stdin.read().strip()
    if not token:
        raise click.ClickException("No access token came in. Type: gcloud auth print-access-token | make login")
    host = settings()[0].partition("/")[0]
    words = ["login", "--username=oauth2accesstoken", "--password-stdin", *flags, host]
    click.echo(" ".join([builder, *words]))
    code = subprocess.run([builder, *words], input=token, text=True, check=False).returncode
    if code:
        raise click.ClickException(f"{host} did not let this token in; {builder}'s own message stands above.")


if __name__ == "__main__":
    sys.exit(main(prog_name="images"))
