"""Ask a server of a bundle the examples that were packed with it.

    /s2i/bin/smoke-test                                             in an image: starts its server, asks, ends it
    python -m mlops.serving.smoke_test --url URL --bundle FOLDER    asks a server that runs already

The exit code is 0 when that model answers as recorded, and 1 with the reason when not.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from contextlib import nullcontext
from pathlib import Path

from .. import processes, schema
from ..errors import UserError
from . import starting
from .bundle_files import METADATA, RECORDED_ANSWERS, read_bundle
from .model import check_answers

ANSWER_SECONDS = 10
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy leads out of the machine, not into it


def ask(url: str, metadata: dict, recorded: list[dict]) -> float:
    """Ask about all recorded examples in one request; return the largest difference in an output.

    Raises:
        UserError: it is too large, another model answered, or none.
    """
    body = json.dumps({"data": {"ndarray": [example["inputs"] for example in recorded]}}).encode()
    request = urllib.request.Request(f"{url}/api/v1.0/predictions", body, {"Content-Type": "application/json"})
    try:
        with DIRECT.open(request, timeout=ANSWER_SECONDS) as response:
            answer = json.load(response)
        names, rows, run = answer["data"]["names"], answer["data"]["ndarray"], answer["meta"]["tags"]["run"]
    except urllib.error.HTTPError as error:
        raise UserError(f"{url} answered {error.code}: {error.read()[:500].decode(errors='replace')}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{url} gave no answer of a model of this kind: {error!r}") from None
    if run != metadata["run"]["uuid"]:
        raise UserError(f"another run's model answered: {run}, packed was {metadata['run']['uuid']}")
    if names != metadata["names"]:
        raise UserError(f"the names of the answers are {names}, not {metadata['names']}")
    return check_answers(rows, recorded, schema.from_dict(metadata["schema"], METADATA))


def main() -> None:
    parser = argparse.ArgumentParser(prog="smoke-test", description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="address of a server that runs; without it, the image's own is started")
    parser.add_argument("--bundle", type=Path, default=Path("/microservice"))
    arguments = parser.parse_args()
    began = time.monotonic()
    processes.exit_on_signals()
    try:
        _, metadata, recorded = read_bundle(arguments.bundle)
        if not recorded:
            raise UserError(f"{RECORDED_ANSWERS} is empty: there is nothing to compare with")
        # PYTHONPATH leads to the builder's copy of mlops, which this runs from: the server must find the bundle's.
        own = starting.server(["/s2i/bin/run"], os.environ | {"PYTHONPATH": ""}, stdout=sys.stderr)
        with nullcontext((arguments.url, None)) if arguments.url else own as (url, _):
            difference = ask(url, metadata, recorded)
    except UserError as reason:
        sys.exit(f"smoke test REFUSED: {str(reason).rstrip('.')}.")
    print(
        f"smoke test passed: {len(recorded)} answers as recorded (largest difference {difference:.1g}), "
        f"run {metadata['run']['uuid']}, in {time.monotonic() - began:.1f} s"
    )


if __name__ == "__main__":
    main()
