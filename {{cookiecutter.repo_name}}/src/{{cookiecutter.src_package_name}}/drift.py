"""Have the images a model is asked about moved away from those it was trained on?

`describe` sums up the training images when a bundle is made. The server's metrics page carries that, and the same
statistics of what it is asked, as running sums. `compare` puts the two side by side, in standard deviations of the
training images, so that a shift of 1 means the same for every statistic.

Imports numpy alone when it starts: both environments import it, the one that trains and the one that serves.
"""

import socket
import time
from urllib.parse import urlsplit, urlunsplit

import numpy as np

SIDE = 28
STATISTICS = {  # one number for each image, and what it tells
    "mean": "mean pixel, 0-255",
    "ink": "share of pixels above 127",
    "roughness": "mean step between neighbours",
    "row": "centre of the ink, rows down from the middle",
    "column": "centre of the ink, columns right from the middle",
    "slant": "correlation of row and column in the ink",
    "height": "log of the ink's height over its width",
}
SHIFT = 0.25  # standard deviations by which a mean must move to be called moved: a small effect by Cohen's rule
SIGMAS = 4.0  # and by how many standard errors, so that few images raise no alarm
FEWEST = 30  # images below which nothing is said

IMAGES_METRIC = "model_images_total"
SUM_METRIC = "model_input_statistic_total"
SQUARES_METRIC = "model_input_statistic_squares_total"
TRAINING_METRIC = "model_training_statistic"  # its mean and its sd over the training images
INFO_METRIC = "model_info"


def _moments() -> np.ndarray:
    """Columns which turn one image's 784 pixels into total, and first and second moments about the middle."""
    row, column = (np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2).reshape(2, -1)
    columns = [np.ones(SIDE * SIDE), row, column, row * row, column * column, row * column]
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.float32)


_MOMENTS = _moments()


def statistics(pixels) -> np.ndarray:
    """What each image looks like: float64 [N, len(STATISTICS)], in the order of STATISTICS.

    pixels: [N, 28, 28] or [N, 784], 0-255. A black image counts as centred, upright and round.
    """
    flat = np.asarray(pixels, dtype=np.float32).reshape(-1, SIDE * SIDE)
    total, row, column, rows, columns, both = (flat @ _MOMENTS).T
    ink = np.maximum(total, 1.0)
    row, column = row / ink, column / ink
    tall = np.maximum(rows / ink - row * row, 0.01)
    wide = np.maximum(columns / ink - column * column, 0.01)
    found = np.empty((len(flat), len(STATISTICS)))
    found[:, 0] = total / flat.shape[1]
    found[:, 1] = np.count_nonzero(flat > 127, axis=1) / flat.shape[1]
    found[:, 2] = np.abs(flat[:, 1:] - flat[:, :-1]).mean(axis=1)
    found[:, 3] = row
    found[:, 4] = column
    found[:, 5] = (both / ink - row * column) / np.sqrt(tall * wide)
    found[:, 6] = 0.5 * np.log(tall / wide)
    return found


def describe(pixels) -> dict:
    """The training images in numbers, for a bundle's metadata.

    pixels: uint8 [N, 28, 28]. Returns {"images": N, "statistics": {name: {"mean": float, "sd": float}}}.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[1:] != (SIDE, SIDE) or len(pixels) < 2:
        shape = list(pixels.shape)
        raise ValueError(f"describe takes two or more images as [N, {SIDE}, {SIDE}], not an array of shape {shape}")
    found = statistics(pixels)
    means, deviations = found.mean(axis=0), found.std(axis=0)
    return {
        "images": len(pixels),
        "statistics": {
            name: {"mean": float(mean), "sd": float(sd)}
            for name, mean, sd in zip(STATISTICS, means, deviations, strict=True)
        },
    }


def read_page(page: str) -> dict:
    """A server's metrics page: {"images", "sums", "squares", "training", "run"}, each statistic by its name.

    ValueError when the page is not that of this model class.
    """
    from prometheus_client.parser import text_string_to_metric_families

    seen = {"images": None, "sums": {}, "squares": {}, "training": {name: {} for name in STATISTICS}, "run": None}
    try:
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    except ValueError:
        samples = []
    for name, labels, value, *_ in samples:
        if name == IMAGES_METRIC:
            seen["images"] = value
        elif name in (SUM_METRIC, SQUARES_METRIC):
            seen["sums" if name == SUM_METRIC else "squares"][labels["statistic"]] = value
        elif name == TRAINING_METRIC:
            seen["training"][labels["statistic"]][labels["moment"]] = value
        elif name == INFO_METRIC:
            seen["run"] = labels["run"]
    whole = all(set(seen[part]) == set(STATISTICS) for part in ("sums", "squares"))
    if seen["images"] is None or not whole or any(set(found) != {"mean", "sd"} for found in seen["training"].values()):
        raise ValueError(
            "not this model's metrics page: give the metrics port (6000 unless set) and the path /metrics, "
            "or /prometheus where Seldon runs the server"
        )
    return seen


def add(pages: list) -> dict:
    """Several replicas as one: their sums added. ValueError when they serve different models."""
    runs = {page["run"] for page in pages}
    if len(runs) > 1:
        raise ValueError(f"the servers answer from different runs: {', '.join(sorted(map(str, runs)))}")
    return {
        "images": sum(page["images"] for page in pages),
        "sums": {name: sum(page["sums"][name] for page in pages) for name in STATISTICS},
        "squares": {name: sum(page["squares"][name] for page in pages) for name in STATISTICS},
        "training": pages[0]["training"],
        "run": runs.pop(),
    }


def since(now: dict, before: dict) -> dict:
    """What was seen between two looks at the same servers. ValueError when they were restarted in between."""
    if now["images"] < before["images"] or now["run"] != before["run"]:
        raise ValueError("the server was restarted between the two looks: look again")
    return {
        "images": now["images"] - before["images"],
        "sums": {name: now["sums"][name] - before["sums"][name] for name in STATISTICS},
        "squares": {name: now["squares"][name] - before["squares"][name] for name in STATISTICS},
        "training": now["training"],
        "run": now["run"],
    }


def compare(seen: dict) -> dict:
    """What a server saw, beside what its model was trained on.

    seen: from `read_page`, `add` or `since`. Returns {"images", "verdict": "quiet" | "moved" | "too few", "run",
    "statistics": {name: {"training", "served", "shift", "spread", "moved"}}}: `shift` in standard deviations of the
    training images, `spread` the served deviation over the training one.
    """
    images, training = seen["images"], seen["training"]
    report = {"images": int(images), "run": seen["run"], "verdict": "too few", "statistics": {}}
    if images < FEWEST:
        return report
    for name in STATISTICS:
        mean, sd = training[name]["mean"], max(training[name]["sd"], 1e-9)
        served = seen["sums"][name] / images
        deviation = max(seen["squares"][name] / images - served * served, 0.0) ** 0.5
        shift = (served - mean) / sd
        moved = abs(shift) >= SHIFT and abs(shift) * images**0.5 >= SIGMAS
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
    """A report for people: a table, and the verdict in a line."""
    if report["verdict"] == "too few":
        return f"{report['images']} images seen: too few to say (at least {FEWEST} are needed). Ask again later."
    lines = [f"{'statistic':<10} {'training':>9} {'served':>9} {'shift':>7} {'spread':>7}"]
    for name, found in report["statistics"].items():
        numbers = f"{found['training']:>9.3f} {found['served']:>9.3f} {found['shift']:>+7.2f} {found['spread']:>7.2f}"
        lines.append(f"{name:<10} {numbers}  {'MOVED' if found['moved'] else '     '}  {STATISTICS[name]}")
    lines.append("(shift: in standard deviations of the training images; spread: served deviation over training's)")
    moved = [name for name, found in report["statistics"].items() if found["moved"]]
    if moved:
        lines.append(f"\nMOVED over {report['images']} images: {', '.join(moved)}.")
        lines.append("Look at what callers send (inverted? scaled? another source?) before the answers are trusted.")
    else:
        lines.append(
            f"\nQuiet over {report['images']} images: they look like the training images of run {report['run']}."
        )
    return "\n".join(lines)


def fetch(url: str, timeout: float = 10.0) -> list[str]:
    """The metrics pages at an address: of each replica, where the name is a headless Service's and stands for several.

    ValueError, with the address and the reason, when one cannot be had.
    """
    import requests

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url} is not an http address: give one such as http://127.0.0.1:6000/metrics")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, proto=socket.IPPROTO_TCP)
        hosts = sorted({f"[{each[4][0]}]" if ":" in each[4][0] else each[4][0] for each in found})
        port = f":{parts.port}" if parts.port else ""
        pages = []
        for host in hosts if parts.scheme == "http" else [parts.hostname]:
            answer = requests.get(urlunsplit(parts._replace(netloc=host + port)), timeout=timeout)
            answer.raise_for_status()
            pages.append(answer.text)
        return pages
    except (requests.RequestException, OSError) as error:
        raise ValueError(f"{url} does not answer ({error}): is the server up, and is this its metrics port?") from error


def look(urls: list) -> dict:
    """The sums of all the servers, added. ValueError names the address that is wrong."""
    pages = []
    for url in urls:
        texts = fetch(url)
        try:
            pages += map(read_page, texts)
        except ValueError as error:
            raise ValueError(f"{url}: {error}") from error
    return add(pages)


def check(urls: list, window: float = 0.0) -> dict:
    """Look at the servers (twice, `window` seconds apart, when it is not 0) and compare with their training."""
    seen = look(urls)
    if window > 0:
        time.sleep(window)
        seen = since(look(urls), seen)
    return compare(seen)
