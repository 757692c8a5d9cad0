"""Start a server of a bundle and learn where it listens. Standard library only: it is in every image."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .. import processes
from .bundle_files import ADDRESS_VARIABLE, HOST_VARIABLE

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
        environment = PORTS | environment | {HOST_VARIABLE: processes.HOST, ADDRESS_VARIABLE: str(path)}
        with processes.session(command, env=environment, **options) as process:
            processes.wait_until_ready(process, path.is_file, START_SECONDS, "The server")
            yield json.loads(path.read_text(encoding="utf-8")), process
