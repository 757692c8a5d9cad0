"""A server says where it listens, and whoever started it reads that. Standard library only: it is in every image."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .. import processes

HOST_VARIABLE = "MLOPS_HOST"  # the address that a server listens at; all of the machine's, as in a pod, without it
FILE_VARIABLE = "MLOPS_ADDRESS_FILE"  # where it writes its addresses
START_SECONDS = 60
PORTS = {f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT": "0" for kind in ("HTTP", "GRPC", "METRICS")}  # 0: the system chooses


@contextmanager
def server(
    command: Sequence[str], environment: dict[str, str], **options
) -> Iterator[tuple[dict[str, str], subprocess.Popen]]:
    """Run a server for this machine alone while the block runs; give its addresses (`url`, `metrics`) and process.

    `options` go to Popen.

    Raises:
        UserError: it did not come up.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "addresses.json"
        environment = PORTS | environment | {HOST_VARIABLE: processes.HOST, FILE_VARIABLE: str(path)}
        with processes.session(command, env=environment, **options) as process:
            processes.wait_until_ready(process, path.is_file, START_SECONDS, "The server")
            yield json.loads(path.read_text(encoding="utf-8")), process


def publish(url: str, metrics: str) -> None:
    """Say where this server listens."""
    print(f"Serving at {url}, metrics at {metrics}", file=sys.stderr, flush=True)
    if name := os.environ.get(FILE_VARIABLE):
        draft = Path(f"{name}.draft")
        draft.write_text(json.dumps({"url": url, "metrics": metrics}), encoding="utf-8")
        draft.replace(name)  # whole, for whoever waits for it
