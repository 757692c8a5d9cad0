"""Start a server of a bundle, which says where it listens. Standard library only: every image has it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .. import processes

HOST_VARIABLE = "MLOPS_HOST"  # the address to listen at; without it all of the machine's, as a pod needs it
FILE_VARIABLE = "MLOPS_ADDRESS_FILE"  # the file to write the addresses to
ADDRESSES = "addresses.json"
START_SECONDS = 60


@contextmanager
def server(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None, port: int = 0, **options
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run a server for this machine alone while the block runs; give its URL and process.

    Args:
        folder: an existing one, in which a folder for the addresses (`url`, `metrics`) is made; None: a temporary one.
        port: the port of REST; 0 takes a free one, as metrics and gRPC do.
        options: for Popen.

    Raises:
        UserError: it did not come up.
    """
    with tempfile.TemporaryDirectory(dir=folder) as own:
        path = Path(own) / ADDRESSES
        ports = {f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT": "0" for kind in ("GRPC", "METRICS")}
        ports["PREDICTIVE_UNIT_HTTP_SERVICE_PORT"] = str(port)
        given = {**environment, **ports, HOST_VARIABLE: processes.HOST, FILE_VARIABLE: str(path)}
        with processes.session(command, env=given, **options) as process:
            processes.wait_until_ready(process, path.is_file, START_SECONDS, "The server")
            yield json.loads(path.read_text(encoding="utf-8"))["url"], process


def publish(url: str, metrics: str) -> None:
    """Say where this server listens."""
    print(f"Serving at {url}, metrics at {metrics}", file=sys.stderr, flush=True)
    if name := os.environ.get(FILE_VARIABLE):
        draft = Path(f"{name}.draft")
        draft.write_text(json.dumps({"url": url, "metrics": metrics}), encoding="utf-8")
        draft.replace(name)  # whole, for whoever waits for it
