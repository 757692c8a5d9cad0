#!/usr/bin/env python3
"""Ask a server of a bundle the digits that were packed with it: the answers must be the recorded ones, from that model.

    python /s2i/bin/smoke_test.py                  in an image: starts its server, asks, ends it
    smoke_test.py --url URL --bundle FOLDER        asks a server that runs already

Exit code 0 when every answer agrees, 1 with the reason when not. Standard library only: it goes into every image.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TOLERANCE = 1e-4  # another machine computes the last bits differently; serving.py allows as much
START_SECONDS, ANSWER_SECONDS = 60, 10
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy leads out of the machine, not into it


class Refused(Exception):
    """The image must not be deployed; the text says why."""


def read_bundle(folder: Path) -> tuple[dict, list[dict]]:
    """The metadata and the recorded answers, once the model is known to be the one that they are about."""
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        recorded = json.loads((folder / "recorded-answers.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        packed = metadata["model_digest"]
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"{folder} is not a whole bundle: {error}") from None
    if digest != packed:
        raise Refused(
            f"model.onnx is not the model that was packed: its sha256 is {digest}, metadata.json says {packed}"
        )
    if not recorded:
        raise Refused("recorded-answers.json is empty: there is nothing to compare with")
    return metadata, recorded


def ask(url: str, recorded: list[dict]) -> dict:
    """The server's answer to all recorded digits in one request."""
    body = json.dumps({"data": {"ndarray": [answer["pixels"] for answer in recorded]}}).encode()
    request = urllib.request.Request(f"{url}/api/v1.0/predictions", body, {"Content-Type": "application/json"})
    try:
        with DIRECT.open(request, timeout=ANSWER_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise Refused(f"{url} answered {error.code}: {error.read()[:500].decode(errors='replace')}") from None
    except (OSError, ValueError) as error:
        raise Refused(f"{url} gave no answer that can be read: {error}") from None


def compare(answer: dict, metadata: dict, recorded: list[dict]) -> float:
    """The largest difference in a probability; Refused when it is too large, or when another model answered."""
    try:
        names, rows, tags = answer["data"]["names"], answer["data"]["ndarray"], answer["meta"]["tags"]
        wanted = [digit["probabilities"] for digit in recorded]
        if names != metadata["classes"]:
            raise Refused(f"the classes are {names}, not {metadata['classes']}")
        if [len(row) for row in rows] != [len(row) for row in wanted]:
            raise Refused(f"{len(rows)} answers for {len(wanted)} digits, or of another number of classes")
        differences = [max(map(abs, map(float.__sub__, *pair))) for pair in zip(rows, wanted, strict=True)]
    except (KeyError, TypeError) as error:
        raise Refused(f"the answer is not one of a digit classifier: {error!r}") from None
    if tags.get("run") != metadata["run"]["uuid"]:
        raise Refused(f"another run's model answered: {tags.get('run')}, packed was {metadata['run']['uuid']}")
    worst = max(range(len(recorded)), key=lambda row: differences[row])
    if not differences[worst] <= TOLERANCE:
        raise Refused(
            f"the answers are not the recorded ones: the recorded {recorded[worst]['label']} differs by "
            f"{differences[worst]:.2g} in a probability (allowed: {TOLERANCE:g})"
        )
    return differences[worst]


@contextlib.contextmanager
def server():
    """The image's own server on free ports, ready, in a process group that is ended with the block."""
    ports = [free_port() for _ in range(3)]
    names = [f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT" for kind in ("HTTP", "GRPC", "METRICS")]
    environment = os.environ | dict(zip(names, map(str, ports), strict=True))
    process = subprocess.Popen(["/s2i/bin/run"], env=environment, stdout=sys.stderr, start_new_session=True)
    url = f"http://127.0.0.1:{ports[0]}"
    try:
        wait_until_ready(url, process)
        yield url
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(timeout=15)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Refused(f"the server ended with exit code {process.returncode} before it was ready; see what it said")
        with contextlib.suppress(OSError), DIRECT.open(f"{url}/health/status", timeout=2):
            return
        time.sleep(0.1)
    raise Refused(f"the server was not ready after {START_SECONDS} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="of a server that runs; without it, the image's own is started")
    parser.add_argument("--bundle", type=Path, default=Path("/microservice"))
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        metadata, recorded = read_bundle(arguments.bundle)
        with contextlib.nullcontext(arguments.url) if arguments.url else server() as url:
            difference = compare(ask(url.rstrip("/"), recorded), metadata, recorded)
    except Refused as reason:
        print(f"smoke test REFUSED: {reason}.", file=sys.stderr)
        return 1
    print(
        f"smoke test passed: {len(recorded)} answers as recorded (largest difference {difference:.1g}), "
        f"run {metadata['run']['uuid']}, in {time.monotonic() - began:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
