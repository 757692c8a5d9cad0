"""The highest rate that keeps p99 under 50 ms, and then minutes at it: do memory and file descriptors stay as they are?

    python bench/soak.py --repository DIR --python DIR/.venv-serving/bin/python [--minutes 10]

DIR is a repository of this template after `make setup pipeline`. Says also how soon the server is ready and what it
weighs. Exit code 1 with what was not kept. Linux only.
"""

import argparse
import base64
import sys
import time
from pathlib import Path

from load import Result, as_request, ask_at
from peers import recorded_pixels
from servers import Running, ours

P99 = 50.0  # milliseconds
READY, MEGABYTES = 0.5, 120  # seconds from start to the first answer; memory when ready
GROWTH = 1.05  # of memory, from the end of the first tenth to the end
SLICE = 10.0  # seconds between two looks


def keeps(result: Result, rate: float) -> bool:
    return not result.failed and result.slowest < P99 and result.rate > 0.95 * rate


def highest_rate(port: int, request: bytes, seconds: float) -> float:
    """Return the highest rate, in steps of a twentieth, that keeps the promise for so many seconds."""
    low, high = 50.0, 100.0
    while keeps(ask_at(port, high, request, seconds), high):
        low, high = high, 2 * high
    while high > 1.05 * low:
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(ask_at(port, middle, request, seconds), middle) else (low, middle)
    return low


def descriptors(server: Running) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def soak(server: Running, request: bytes, minutes: float, trial: float, rate: float | None) -> list[str]:
    """Print a row for each slice; return what was not kept."""
    server_ready, weight = server.ready, server.megabytes()
    print(f"ready in {server_ready:.2f} s (goal {READY}), {weight:.0f} MB (goal {MEGABYTES})")
    rate = rate or highest_rate(server.port, request, trial)
    print(f"{rate:.0f} requests a second\n\n| minute | answers | failed | median ms | p99 ms | MB | descriptors |")
    print("|---" * 7 + "|")
    times: list[float] = []
    failed, looks, began = 0, [], time.monotonic()
    while (passed := time.monotonic() - began) < minutes * 60:
        found = ask_at(server.port, rate, request, min(SLICE, minutes * 60 - passed + 0.1))
        times += found.times
        failed += found.failed
        looks.append((server.megabytes(), descriptors(server)))
        row = [f"{(time.monotonic() - began) / 60:.1f}", len(found.times), found.failed, f"{found.median:.1f}"]
        row += [f"{found.slowest:.1f}", f"{looks[-1][0]:.1f}", looks[-1][1]]
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    whole = Result(sorted(times), time.monotonic() - began, failed)
    first, last = looks[len(looks) // 10], looks[-1]
    print(f"\nin all: {len(times)} answers, {failed} failed, p99 {whole.slowest:.1f} ms")
    kept = {
        f"ready in {READY} s": server_ready < READY,
        f"under {MEGABYTES} MB": weight < MEGABYTES,
        "no request failed": not failed,
        f"p99 under {P99:g} ms": whole.slowest < P99,
        "memory flat": last[0] < GROWTH * first[0],
        "file descriptors flat": last[1] <= first[1],
    }
    return [name for name, is_kept in kept.items() if not is_kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--python", type=Path, help="its serving environment's (default: DIR/.venv-serving/bin/python)")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, help="requests a second (default: the highest that keeps p99)")
    parser.add_argument("--short", action="store_true", help="half a minute, to see that it runs")
    given = parser.parse_args()
    bundle = (given.repository / "build/bundle").absolute()
    minutes, trial = (0.5, 1.0) if given.short else (given.minutes, 10.0)
    server = ours(given.python or given.repository / ".venv-serving/bin/python", bundle)
    try:
        pixels = bytes(recorded_pixels(bundle, 1)[0])
        body = b'{"binData": "%s"}' % base64.b64encode(pixels)
        request = as_request(server.port, "/api/v1.0/predictions", body)
        if broken := soak(server, request, minutes, trial, given.rate):
            sys.exit(f"not kept: {', '.join(broken)}")
    finally:
        server.end()


if __name__ == "__main__":
    main()
