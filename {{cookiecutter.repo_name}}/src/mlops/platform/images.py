"""`make images`, `login` and `push`: the images of this repository, by docker, podman or buildah, whichever is here.

An image is made of docker/NAME.Dockerfile and called <prefix>/NAME:<version>, both from pyproject.toml.
"""

import shutil
import subprocess
import sys

import click

from .. import lineage, project
from ..errors import UserError
from . import user_errors

BUILDERS = ["docker", "podman", "buildah"]
NAMES = sorted(path.name.removesuffix(".Dockerfile") for path in (project.ROOT / "docker").glob("*.Dockerfile"))
BUILDER = click.option("--builder", type=click.Choice(BUILDERS), help="Default: the first that works here.")
PLATFORM = click.option("--platform", default="linux/amd64", help="The cluster's nodes.", show_default=True)
FLAGS = click.option("--flag", "flags", multiple=True, help="One more word for the builder, such as --flag=--no-cache.")


def find_builder(wanted: str | None) -> str:
    """Return the program asked for, or the first of those that can build and push an image and works here."""
    installed = [name for name in ([wanted] if wanted else BUILDERS) if shutil.which(name)]
    for name in installed:
        # A client may be here without its engine, which has to be asked.
        if succeeds(name, "info"):
            return name
    if installed:
        raise UserError(f"{' and '.join(installed)}: no engine answers here. See why: {installed[0]} info")
    raise UserError(f"This needs {wanted or 'docker, podman or buildah'}; see https://docs.docker.com/engine/install/")


def succeeds(*command: str) -> bool:
    """Return whether a command succeeds; what it prints is not shown."""
    return not subprocess.run(command, capture_output=True, check=False).returncode


def run(*command: str, text: str | None = None) -> None:
    """Show a command and run it; `text` is its standard input."""
    click.echo(" ".join(command))
    code = subprocess.run(command, cwd=project.ROOT, input=text, text=True, check=False).returncode
    if code:
        raise UserError(f"{command[0]} ended with exit code {code}; its own message is above.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Build and push the images of this repository."""


@main.command()
@BUILDER
@FLAGS
@PLATFORM
@click.option("--accelerator", type=click.Choice(["cpu", "cuda"]), default="cpu", help="For the images with torch.")
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@user_errors()
def build(
    builder: str | None, flags: tuple[str, ...], platform: str, accelerator: str, names: tuple[str, ...]
) -> None:  # fmt: skip
    """Build the images called NAMES, or all."""
    program = find_builder(builder)
    prefix, version = project.images()
    commit, dirty = lineage.commit(project.ROOT)
    arguments = {"VERSION": version}
    if commit:
        arguments |= {"GIT_COMMIT": commit, "GIT_DIRTY": "true" if dirty else "false"}
    for name in names or NAMES:
        dockerfile = f"docker/{name}.Dockerfile"
        takes = "ARG ACCELERATOR" in (project.ROOT / dockerfile).read_text(encoding="utf-8")
        given = arguments | ({"ACCELERATOR": accelerator} if takes else {})
        words = [f"--platform={platform}", *(f"--build-arg={key}={value}" for key, value in given.items())]
        run(program, "build", f"--file={dockerfile}", f"--tag={prefix}/{name}:{version}", *words, *flags, ".")


@main.command()
@BUILDER
@FLAGS
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@user_errors()
def push(builder: str | None, flags: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Push the images called NAMES, or all."""
    program = find_builder(builder)
    prefix, version = project.images()
    for name in names or NAMES:
        run(program, "push", *flags, f"{prefix}/{name}:{version}")


@main.command()
@BUILDER
@FLAGS
@user_errors()
def login(builder: str | None, flags: tuple[str, ...]) -> None:
    """Log in to the images' registry with an access token of Google's, or a JSON key, from the standard input."""
    token = sys.stdin.read().strip()
    if not token:
        raise UserError("No access token came in. Type: gcloud auth print-access-token | make login")
    host = project.images()[0].partition("/")[0]
    user = "_json_key" if token.startswith("{") else "oauth2accesstoken"
    run(find_builder(builder), "login", f"--username={user}", "--password-stdin", *flags, host, text=token)


if __name__ == "__main__":
    main(prog_name="images")
