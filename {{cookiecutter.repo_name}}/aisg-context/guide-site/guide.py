"""`make guide` and `make guide-site`: the guide served on this machine, and built as a folder of files."""

import os
import signal
import socket
import sys
from pathlib import Path

import click

os.environ["NO_MKDOCS_2_WARNING"] = "true"  # the theme's advice to the authors of sites, at every start
try:
    from mkdocs.__main__ import cli as mkdocs
    from pictures import SCREENSHOT_NAMES, screenshot
except ImportError as error:
    sys.exit(f"Error: The guide needs {error.name}, which is not installed; it comes with: make setup")

CONFIGURATION = f"--config-file={Path(__file__).resolve().parent / 'mkdocs.yml'}"
PORT = 8118  # beside the dashboard's


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """The guide, on this machine."""


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=PORT)
def serve(port: int) -> None:
    """Serve the guide until Ctrl-C; a page that is edited is shown anew."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise click.ClickException(f"Port {port} is taken. Choose another: make guide PORT={port + 1}")
    missing = [name for name in SCREENSHOT_NAMES if not screenshot(name).is_file()]
    if missing:
        click.echo(f"Not taken yet: {', '.join(missing)}. To see your own runs in the guide: make screenshots")
    click.echo(f"http://127.0.0.1:{port}/   Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    mkdocs(["--quiet", "serve", CONFIGURATION, f"--dev-addr=127.0.0.1:{port}"], standalone_mode=False)
    click.echo("Ended.")


@main.command()
@click.option("--output", default="build/guide", help="The folder; it is emptied first.")
def build(output: str) -> None:
    """Build the guide; a link or a picture that leads nowhere is an error."""
    site = f"--site-dir={Path(output).absolute()}"
    mkdocs(["--quiet", "build", "--strict", CONFIGURATION, site], standalone_mode=False)
    click.echo(f"{output}/index.html")


if __name__ == "__main__":
    main(prog_name="guide")
