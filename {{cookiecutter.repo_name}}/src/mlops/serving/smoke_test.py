"""Ask a server of a bundle the examples that were packed with it: the answers must be the recorded ones, of that model.

    /s2i/bin/smoke-test                                             in an image: starts its server, asks, ends it
    python -m mlops.serving.smoke_test --url URL --bundle FOLDER    asks a server that runs already

Exit code 0 when every answer agrees, 1 with the reason when not.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .. import processes, schema
from ..errors import UserError
from . import starting
from .bundle_files import METADATA, RECORDED_ANSWERS, read_bundle
from .model import check_answers

ANSWER_SECONDS = 10
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy leads out of the machine, not into it


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
    try:
        names, rows, run = answer["data"]["names"], answer["data"]["ndarray"], answer["meta"]["tags"]["run"]
    except (KeyError, TypeError) as error:
        raise UserError(f"the answer is not one of this model's kind: {error!r}") from None
    if run != metadata["run"]["uuid"]:
        raise UserError(f"another run's model answered: {run}, packed was {metadata['run']['uuid']}")
    if names != metadata["names"]:
        raise UserError(f"the names of the answers are {names}, not {metadata['names']}")
    return check_answers(rows, recorded, schema.from_dict(metadata["schema"], METADATA))


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """Give the URL of a server: the one given, else the image's own, which runs while the block does."""
    if url:
        yield url.rstrip("/")
        return
    # PYTHONPATH leads to the builder's copy of mlops, which this runs from: the server must find the bundle's.
    foreign = ("PYTHONPATH", "PREDICTIVE_UNIT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with starting.server(["/s2i/bin/run"], environment, stdout=sys.stderr) as (addresses, _):
        yield addresses["url"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="smoke-test", description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="of a server that runs; without it, the image's own is started")
    parser.add_argument("--bundle", type=Path, default=Path("/microservice"))
    arguments = parser.parse_args()
    began = time.monotonic()
    processes.exit_on_signals()
    try:
        _, metadata, recorded = read_bundle(arguments.bundle)
        if not recorded:
            raise UserError(f"{RECORDED_ANSWERS} is empty: there is nothing to compare with")
        with server(arguments.url) as url:
            difference = compare(ask(url, recorded), metadata, recorded)
    except UserError as reason:
        sys.exit(f"smoke test REFUSED: {str(reason).rstrip('.')}.")
    print(
        f"smoke test passed: {len(recorded)} answers as recorded (largest difference {difference:.1g}), "
        f"run {metadata['run']['uuid']}, in {time.monotonic() - began:.1f} s"
    )


if __name__ == "__main__":
    main()
