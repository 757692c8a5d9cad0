"""Ask a server of a bundle the examples that were packed with it: the answers must be the recorded ones, of that model.

    /s2i/bin/smoke-test                                             in an image: starts its server, asks, ends it
    python -m mlops.serving.smoke_test --url URL --bundle FOLDER    asks a server that runs already

Exit code 0 when every answer agrees, 1 with the reason when not. Standard library only: it is in every image.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .. import processes
from ..errors import UserError
from .bundle_files import METADATA, MODEL, RECORDED_ANSWERS

TOLERANCE = 1e-4  # another machine computes the last bits differently; the server itself allows as much
START_SECONDS, ANSWER_SECONDS = 60, 10
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy leads out of the machine, not into it


def read_bundle(folder: Path) -> tuple[dict, list[dict]]:
    """Return the metadata and the recorded answers, once the model is known to be the one that they are about."""
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        recorded = json.loads((folder / RECORDED_ANSWERS).read_text(encoding="utf-8"))
        digest = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
        packed = metadata["model_digest"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder} is not a whole bundle: {error}") from None
    if digest != packed:
        raise UserError(f"{MODEL} is not the model that was packed: its sha256 is {digest}, {METADATA} says {packed}")
    if not recorded:
        raise UserError(f"{RECORDED_ANSWERS} is empty: there is nothing to compare with")
    return metadata, recorded


def ask(url: str, recorded: list[dict]) -> dict:
    """Return the server's answer to all recorded examples in one request."""
    body = json.dumps({"data": {"ndarray": [example["inputs"] for example in recorded]}}).encode()
    request = urllib.request.Request(f"{url}/api/v1.0/predictions", body, {"Content-Type": "application/json"})
    try:
        with DIRECT.open(request, timeout=ANSWER_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise UserError(f"{url} answered {error.code}: {error.read()[:500].decode(errors='replace')}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{url} gave no answer that can be read: {error}") from None


def compare(answer: dict, metadata: dict, recorded: list[dict]) -> float:
    """Return the largest difference in an output.

    Raises:
        UserError: it is too large, or another model answered.
    """
    schema = metadata["schema"]["outputs"]
    wanted = [example["outputs"] for example in recorded]
    try:
        names, rows, tags = answer["data"]["names"], answer["data"]["ndarray"], answer["meta"]["tags"]
        if schema["kind"] == "classes" and names != schema["classes"]:
            raise UserError(f"the classes are {names}, not {schema['classes']}")
        if [len(row) for row in rows] != [len(row) for row in wanted] or len(names) != len(wanted[0]):
            raise UserError(f"{len(rows)} answers for {len(wanted)} examples, or of another number of outputs")
        differences = [
            max(abs(given - expected) for given, expected in zip(row, outputs, strict=True))
            for row, outputs in zip(rows, wanted, strict=True)
        ]
    except (KeyError, TypeError) as error:
        raise UserError(f"the answer is not one of this model's kind: {error!r}") from None
    if tags.get("run") != metadata["run"]["uuid"]:
        raise UserError(f"another run's model answered: {tags.get('run')}, packed was {metadata['run']['uuid']}")
    worst = max(range(len(recorded)), key=lambda row: differences[row])
    if not differences[worst] <= TOLERANCE:
        raise UserError(
            f"the answers are not the recorded ones: example {worst} ({recorded[worst]['label']}) differs by "
            f"{differences[worst]:.2g} in an output (allowed: {TOLERANCE:g})"
        )
    return differences[worst]


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run the image's own server on free ports while the block runs; give its URL once it is ready."""
    ports = {kind: processes.free_port() for kind in ("HTTP", "GRPC", "METRICS")}
    settings = {f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT": str(port) for kind, port in ports.items()}
    # PYTHONPATH leads to the builder's copy of mlops, which this runs from: the server must find the bundle's.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings
    url = f"http://{processes.HOST}:{ports['HTTP']}"
    with processes.session(["/s2i/bin/run"], env=environment, stdout=sys.stderr) as process:
        processes.wait_until_ready(process, lambda: _healthy(url), START_SECONDS, "the server")
        yield url


def _healthy(url: str) -> bool:
    with contextlib.suppress(OSError), DIRECT.open(f"{url}/health/status", timeout=2):
        return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="smoke-test", description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="of a server that runs; without it, the image's own is started")
    parser.add_argument("--bundle", type=Path, default=Path("/microservice"))
    arguments = parser.parse_args()
    began = time.monotonic()
    processes.exit_on_signals()
    try:
        metadata, recorded = read_bundle(arguments.bundle)
        with contextlib.nullcontext(arguments.url) if arguments.url else server() as url:
            difference = compare(ask(url.rstrip("/"), recorded), metadata, recorded)
    except UserError as reason:
        print(f"smoke test REFUSED: {str(reason).rstrip('.')}.", file=sys.stderr)
        return 1
    print(
        f"smoke test passed: {len(recorded)} answers as recorded (largest difference {difference:.1g}), "
        f"run {metadata['run']['uuid']}, in {time.monotonic() - began:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
