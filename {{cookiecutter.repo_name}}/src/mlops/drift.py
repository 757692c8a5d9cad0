"""Check a served model for input drift: do the inputs that it is asked about still look like its training inputs?

A bundle carries the mean and the deviation of some statistics of the training inputs; the server's metrics page shows
them beside running sums of the same statistics of what it is asked. `compare` gives the difference in standard
deviations of the training inputs, so that a shift of 1 means the same for every statistic.
"""

import socket
import time
from urllib.parse import urlsplit, urlunsplit

import requests
from prometheus_client.parser import text_string_to_metric_families

from .images import Images
from .serving.metrics import EXAMPLES, INFO, SQUARES, SUM, TRAINING

SHIFT = 0.25  # standard deviations by which a mean must move to be called moved: a small effect by Cohen's rule
SIGMAS = 4.0  # and by how many standard errors, so that few examples raise no alarm
FEWEST = 30  # examples below which nothing is said
MEANINGS = Images.statistics  # a table's are named after its columns, which say it all


def read_page(page: str) -> dict:
    """Read a server's metrics page: {"examples", "sums", "squares", "training", "run"}, each statistic by its name.

    Raises:
        ValueError: the page is not that of a model of ours.
    """
    seen: dict = {"examples": None, "sums": {}, "squares": {}, "training": {}, "run": None}
    try:
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    except ValueError:
        samples = []
    for name, labels, value, *_ in samples:
        if name == EXAMPLES:
            seen["examples"] = value
        elif name in (SUM, SQUARES):
            seen["sums" if name == SUM else "squares"][labels["statistic"]] = value
        elif name == TRAINING:
            seen["training"].setdefault(labels["statistic"], {})[labels["moment"]] = value
        elif name == INFO:
            seen["run"] = labels["run"]
    names = set(seen["training"])
    whole = names and set(seen["sums"]) == set(seen["squares"]) == names
    if (
        seen["examples"] is None
        or not whole
        or any(set(found) != {"mean", "sd"} for found in seen["training"].values())
    ):
        raise ValueError(
            "not this model's metrics page: give the metrics port (6000 unless set) and the path /metrics, "
            "or /prometheus where Seldon runs the server"
        )
    return seen


def add(pages: list[dict]) -> dict:
    """Add the sums of several replicas. ValueError when they serve different models."""
    served = {page["run"] for page in pages}
    if len(served) > 1:
        raise ValueError(f"the servers answer from different runs: {', '.join(sorted(map(str, served)))}")
    total = pages[0]
    for page in pages[1:]:
        total = _combined(total, page, sign=1)
    return total


def since(now: dict, before: dict) -> dict:
    """Return what was seen between two looks at the same servers. ValueError when they were restarted in between."""
    if now["examples"] < before["examples"] or now["run"] != before["run"]:
        raise ValueError("the server was restarted between the two looks: look again")
    return _combined(now, before, sign=-1)


def _combined(one: dict, other: dict, sign: int) -> dict:
    return {
        "examples": one["examples"] + sign * other["examples"],
        "training": one["training"],
        "run": one["run"],
        **{
            part: {name: one[part][name] + sign * other[part][name] for name in one["training"]}
            for part in ("sums", "squares")
        },
    }


def compare(seen: dict) -> dict:
    """Compare what a server saw with what its model was trained on.

    seen: from `read_page`, `add` or `since`. Returns {"examples", "verdict": "quiet" | "moved" | "too few", "run",
    "statistics": {name: {"training", "served", "shift", "spread", "moved"}}}: `shift` in standard deviations of the
    training inputs, `spread` the served deviation over the training one.
    """
    examples = seen["examples"]
    report: dict = {"examples": int(examples), "run": seen["run"], "verdict": "too few", "statistics": {}}
    if examples < FEWEST:
        return report
    for name, moments in seen["training"].items():
        mean, sd = moments["mean"], max(moments["sd"], 1e-9)
        served = seen["sums"][name] / examples
        deviation = max(seen["squares"][name] / examples - served * served, 0.0) ** 0.5
        shift = (served - mean) / sd
        moved = abs(shift) >= SHIFT and abs(shift) * examples**0.5 >= SIGMAS
        report["statistics"][name] = {
            "training": mean,
            "served": served,
            "shift": shift,
            "spread": deviation / sd,
            "moved": moved,
        }
    report["verdict"] = "moved" if any(found["moved"] for found in report["statistics"].values()) else "quiet"
    return report


def as_text(report: dict) -> str:
    """Return a report for people: a table, and the verdict in a line."""
    if report["verdict"] == "too few":
        return f"{report['examples']} examples seen: too few to say (at least {FEWEST} are needed). Ask again later."
    width = max(map(len, ("statistic", *report["statistics"])))
    lines = [f"{'statistic':<{width}} {'training':>9} {'served':>9} {'shift':>7} {'spread':>7}"]
    for name, found in report["statistics"].items():
        numbers = f"{found['training']:>9.3f} {found['served']:>9.3f} {found['shift']:>+7.2f} {found['spread']:>7.2f}"
        lines.append(
            f"{name:<{width}} {numbers}  {'MOVED' if found['moved'] else '     '}  {MEANINGS.get(name, '')}".rstrip()
        )
    lines.append("(shift: in standard deviations of the training inputs; spread: served deviation over training's)")
    moved = [name for name, found in report["statistics"].items() if found["moved"]]
    if moved:
        lines.append(f"\nMOVED over {report['examples']} examples: {', '.join(moved)}.")
        lines.append("Look at what callers send (inverted? scaled? another source?) before the answers are trusted.")
    else:
        lines.append(
            f"\nQuiet over {report['examples']} examples: they look like the training examples of run {report['run']}."
        )
    return "\n".join(lines)


def fetch(url: str, timeout: float = 10.0) -> list[str]:
    """Return the metrics pages at an address: one of each replica, where the name is a headless Service's.

    Raises:
        ValueError: one cannot be had; the text has the address and the reason.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url} is not an http address: give one such as http://127.0.0.1:6000/metrics")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, proto=socket.IPPROTO_TCP)
        numbers = {str(each[4][0]) for each in found}
        hosts = sorted(f"[{number}]" if ":" in number else number for number in numbers)
        port = f":{parts.port}" if parts.port else ""
        pages = []
        for host in hosts if parts.scheme == "http" else [parts.hostname]:
            answer = requests.get(urlunsplit(parts._replace(netloc=host + port)), timeout=timeout)
            answer.raise_for_status()
            pages.append(answer.text)
        return pages
    except (requests.RequestException, OSError) as error:
        raise ValueError(f"{url} does not answer ({error}): is the server up, and is this its metrics port?") from error


def look(urls: list[str]) -> dict:
    """Return the sums of all the servers, added. ValueError names the address that is wrong."""
    pages: list[dict] = []
    for url in urls:
        texts = fetch(url)
        try:
            pages += map(read_page, texts)
        except ValueError as error:
            raise ValueError(f"{url}: {error}") from error
    return add(pages)


def check(urls: list[str], window: float = 0.0) -> dict:
    """Look at the servers (twice, `window` seconds apart, when it is not 0) and compare with their training."""
    seen = look(urls)
    if window > 0:
        time.sleep(window)
        seen = since(look(urls), seen)
    return compare(seen)
