"""How fast this repository's bundle is served here: `make bench`.

One and two workers, alternating, in rounds; the table holds medians over the rounds.
"""

import argparse
import base64
import json
import os
import statistics
import sys
from pathlib import Path

from load import as_request, ask_for
from processes import seldon

PREDICT = "/api/v1.0/predictions"


def bodies(bundle: Path, images: int) -> dict[str, bytes]:
    """A request for so many of the recorded digits, in each form."""
    recorded = json.loads((bundle / "recorded-answers.json").read_text(encoding="utf-8"))
    pixels = [recorded[number % len(recorded)]["pixels"] for number in range(images)]
    rows = [[image[start : start + 28] for start in range(0, 784, 28)] for image in pixels]
    binary = base64.b64encode(b"".join(bytes(image) for image in pixels)).decode()
    return {
        "ndarray": json.dumps({"data": {"ndarray": rows}}).encode(),
        "binData": json.dumps({"binData": binary}).encode(),
    }


CELLS = [(1, "ndarray", 1), (1, "binData", 1), (1, "ndarray", 8), (16, "ndarray", 1), (16, "binData", 1)]
CELLS += [(128, "ndarray", 1), (128, "binData", 1)]


def measure(python: Path, bundle: Path, rounds: int, seconds: float) -> str:
    """The table, as Markdown."""
    servers = {"one worker": seldon(python, bundle), "two workers": seldon(python, bundle, workers=2)}
    rates: dict[tuple, list[float]] = {}
    medians: dict[tuple, list[float]] = {}
    failed = 0
    try:
        for _ in range(rounds):
            for images, form, connections in CELLS:
                body = bodies(bundle, images)[form]
                for name, server in servers.items():
                    request = as_request(server.port, PREDICT, body)
                    ask_for(server.port, request, 0.2, connections)
                    found = ask_for(server.port, request, seconds, connections)
                    rates.setdefault((images, form, connections, name), []).append(found.rate)
                    medians.setdefault((images, form, connections, name), []).append(found.median)
                    failed += found.failed
        weights = {name: server.megabytes() for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.end()
    starts = []
    for _ in range(rounds):
        server = seldon(python, bundle)
        starts.append(server.ready)
        server.end()
    lines = [
        "| images | form | connections | one worker, requests/s | median ms | two workers, requests/s | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for images, form, connections in CELLS:
        one, two = (statistics.median(rates[images, form, connections, name]) for name in servers)
        middle = statistics.median(medians[images, form, connections, "one worker"])
        lines.append(f"| {images} | {form} | {connections} | {one:.0f} | {middle:.2f} | {two:.0f} | {two / one:.2f} |")
    weight = ", ".join(f"{name} {value:.0f} MB" for name, value in weights.items())
    lines.append(f"\nReady in {statistics.median(starts):.2f} s. Memory over all processes: {weight}.")
    lines.append(f"Failed requests: {failed}. {os.cpu_count()} cores, shared by the load and the servers.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    given = parser.parse_args()
    python = Path(os.environ.get("SERVING_VENV", ".venv-serving"), "bin/python")
    if not (given.bundle / "model.onnx").is_file():
        sys.exit(f"There is no bundle at {given.bundle}. Make it with: make package")
    if not python.is_file():
        sys.exit(f"There is no serving environment at {python.parent.parent}. Make it with: make setup")
    print(measure(python, given.bundle, given.rounds, given.seconds))


if __name__ == "__main__":
    main()
