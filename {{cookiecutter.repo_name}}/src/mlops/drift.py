"""Check a served model for input drift: do the inputs that it is asked about still look like its training inputs?

A bundle carries the mean and the deviation of some statistics of the training inputs; the server's metrics page shows
them beside running sums of the same statistics of its requests. `compare` gives the difference in standard deviations
of the training inputs, so that a shift of 1 means the same for every statistic.
"""

import socket
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import requests
from prometheus_client.parser import text_string_to_metric_families

from .images import Images
from .serving.metrics import EXAMPLES, INFO, SQUARES, SUM, TRAINING

SHIFT = 0.25  # standard deviations by which a mean must move to be called moved: a small effect by Cohen's rule
SIGMAS = 4.0  # and by how many standard errors, so that few examples raise no alarm
FEWEST = 30  # examples below which nothing is said
MEANINGS = Images.statistics  # a table's are named after its columns, which say it all
COLUMNS = ("training", "served", "shift", "spread")  # of a report


@dataclass(frozen=True)
class Seen:
    """The inputs that servers of one run saw.

    Attributes:
        training: (mean, sd) of each statistic over the training inputs.
        examples: their number.
        sums, squares: of each statistic and of its square over the inputs [statistics].
    """

    run: str
    training: dict[str, tuple[float, float]]
    examples: float
    sums: np.ndarray
    squares: np.ndarray

    def plus(self, other: "Seen", sign: int = 1) -> "Seen":
        """Return the inputs of both; with sign -1, those that `other` had not seen yet."""
        sums, squares = self.sums + sign * other.sums, self.squares + sign * other.squares
        return replace(self, examples=self.examples + sign * other.examples, sums=sums, squares=squares)


def read_page(page: str) -> Seen:
    """Read a server's metrics page.

    Raises:
        ValueError: the page is not that of a model of ours.
    """
    try:
        samples = {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
        names = [key[1] for key in samples if key[0] == SUM]
        (run,) = (key[1] for key in samples if key[0] == INFO)
        training = {name: (samples[TRAINING, "mean", name], samples[TRAINING, "sd", name]) for name in names}
        sums, squares = (np.array([samples[kind, name] for name in names]) for kind in (SUM, SQUARES))
        return Seen(run, training, samples[EXAMPLES,], sums, squares)
    except (ValueError, KeyError):
        raise ValueError(
            "not this model's metrics page: give the metrics port (6000 unless set) and the path /metrics, "
            "or /prometheus where Seldon runs the server"
        ) from None


def add(pages: list[Seen]) -> Seen:
    """Add the sums of several replicas. ValueError when they serve different models."""
    runs = {page.run for page in pages}
    if len(runs) > 1:
        raise ValueError(f"the servers answer from different runs: {', '.join(sorted(runs))}")
    total, *others = pages
    for page in others:
        total = total.plus(page)
    return total


def since(now: Seen, before: Seen) -> Seen:
    """Return the inputs between two looks at the same servers. ValueError when they were restarted in between."""
    if now.examples < before.examples or now.run != before.run:
        raise ValueError("the server was restarted between the two looks: look again")
    return now.plus(before, sign=-1)


def compare(seen: Seen) -> dict:
    """Compare the served inputs with the training inputs.

    Returns {"examples", "verdict": "quiet" | "moved" | "too few", "run", "statistics": {name: {"training", "served",
    "shift", "spread", "moved"}}}: `shift` in standard deviations of the training inputs, `spread` the served deviation
    over the training one.
    """
    report = {"examples": int(seen.examples), "run": seen.run, "verdict": "too few", "statistics": {}}
    if seen.examples < FEWEST:
        return report
    means, deviations = np.array(list(seen.training.values())).T
    deviations = np.maximum(deviations, 1e-9)
    served = seen.sums / seen.examples
    spread = np.sqrt(np.maximum(seen.squares / seen.examples - served**2, 0)) / deviations
    shift = (served - means) / deviations
    moved = (np.abs(shift) >= SHIFT) & (np.abs(shift) * seen.examples**0.5 >= SIGMAS)
    rows = np.stack([means, served, shift, spread], axis=1).tolist()
    statistics = {
        name: {**dict(zip(COLUMNS, row, strict=True)), "moved": bool(has_moved)}
        for name, row, has_moved in zip(seen.training, rows, moved, strict=True)
    }
    return report | {"verdict": "moved" if moved.any() else "quiet", "statistics": statistics}


def as_text(report: dict) -> str:
    """Return a report for people: a table, and the verdict in a line."""
    if report["verdict"] == "too few":
        return f"{report['examples']} examples seen: too few to say (at least {FEWEST} are needed). Ask again later."
    width = max(map(len, ("statistic", *report["statistics"])))
    lines = [f"{'statistic':<{width}} {'training':>9} {'served':>9} {'shift':>7} {'spread':>7}"]
    for name, found in report["statistics"].items():
        numbers = f"{found['training']:>9.3f} {found['served']:>9.3f} {found['shift']:>+7.2f} {found['spread']:>7.2f}"
        lines.append(f"{name:<{width}} {numbers}  {'MOVED' * found['moved']:5}  {MEANINGS.get(name, '')}".rstrip())
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


def look(urls: list[str]) -> Seen:
    """Return the sums of all the servers, added. ValueError names the address that is wrong."""
    pages: list[Seen] = []
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
