"""The served model beside what a team would pick instead, in one run: `make bench` at the template's root.

    python bench/peers.py [--repository DIR] [--output docs/benchmarks.md]

DIR is a repository of this template after `make setup pipeline`; without it, one is made. Each peer's environment is
made under --work, once. All servers are up together, and each cell of the tables is the median of rounds in which
every server is measured in turn, so that a slow moment of the machine falls on all of them.
"""

import argparse
import base64
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from load import as_request, ask_for
from servers import Running, free_port, ours, stock

HERE = Path(__file__).parent
ROOT = HERE.parent

FASTAPI = ["fastapi==0.165.0", "uvicorn[standard]==0.54.0"]
MLSERVER = ["mlserver==1.7.1", "uvloop==0.21.0"]  # with a later uvloop its workers do not start

OURS, BARE, STOCK = "this template", "bare uvicorn", "the same class in stock Seldon"
ARTICLE, FAST, ML = "article's class", "FastAPI + pydantic", "MLServer"
# images, form, connections
CELLS = [(images, form, calls) for images in (1, 16, 128) for form in ("JSON", "bytes") for calls in (1, 8)]


def run(*command, **options) -> None:
    """A step that must succeed; its output is the caller's."""
    subprocess.run([str(part) for part in command], check=True, **options)


def environment(folder: Path, *requirements) -> Path:
    """The Python of a virtual environment with these requirements: lists of pip arguments, installed in turn."""
    python = folder / "bin" / "python"
    wanted = json.dumps([[str(part) for part in step] for step in requirements])
    mark = folder / "installed.json"
    if not mark.is_file() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        run("python3.11", "-m", "venv", folder)
        for step in requirements:
            run(python, "-m", "pip", "install", "--quiet", *step)
        mark.write_text(wanted)
    return python


def make_repository(work: Path) -> Path:
    """A repository of the template as it is now, with its two environments and a trained model."""
    run(sys.executable, ROOT / "tools" / "new.py", "--no-input", "--output-dir", work)
    run("make", "setup", "pipeline", cwd=work / "digit-reader")
    return work / "digit-reader"


def pinned(repository: Path, name: str) -> str:
    """A requirement of the repository, as its pyproject.toml or its serving list pins it."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return next(line for requirements in lists for line in requirements if line.startswith(f"{name}=="))


def recorded_pixels(bundle: Path, images: int) -> list:
    answers = json.loads((bundle / "recorded-answers.json").read_text(encoding="utf-8"))
    return [answers[number % len(answers)]["inputs"] for number in range(images)]


class Peers:
    """The servers of all peers, and how each is asked."""

    def __init__(self, repository: Path, work: Path):
        self.bundle = repository / "build" / "bundle"
        self.repository, self.work = repository, work
        serving = ["--no-deps", "--require-hashes", "-r", repository / "serving-requirements.txt"]
        onnx = [pinned(repository, "onnxruntime"), pinned(repository, "numpy")]
        self.pythons = {
            **dict.fromkeys((OURS, BARE, STOCK), environment(work / "envs" / "serving", serving)),
            ARTICLE: environment(work / "envs" / "article", [pinned(repository, "torch")], serving),
            FAST: environment(work / "envs" / "fastapi", [*FASTAPI, *onnx]),
            ML: environment(work / "envs" / "mlserver", [*MLSERVER, onnx[0]]),
        }

    def start(self, peer: str) -> Running:
        """A peer's server, ready."""
        starts = {BARE: self._bare, STOCK: self._stock, ARTICLE: self._article, FAST: self._fastapi, ML: self._mlserver}
        return starts[peer]() if peer in starts else ours(self.pythons[OURS], self.bundle)

    def _folder(self, peer: str) -> Path:
        folder = self.work / "served" / peer
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(HERE / "peers" / peer, folder)
        shutil.copy(self.bundle / "model.onnx", folder)
        return folder

    def _bare(self):
        folder, port = self._folder("bare"), free_port()
        command = [
            self.pythons[BARE],
            "-m",
            "uvicorn",
            "app:app",
            "--port",
            port,
            "--no-access-log",
            "--lifespan",
            "off",
        ]
        return Running(command, port, "/", folder, {})

    def _stock(self):
        return stock(self.pythons[STOCK], self.bundle)

    def _article(self):
        folder = self._folder("article")
        run_id = json.loads((self.bundle / "metadata.json").read_text())["run"]["uuid"]
        shutil.copy(self.repository / "outputs" / "runs" / run_id / "outputs" / "model.pt", folder)
        shutil.copy(self.bundle / "metadata.json", folder)
        # One thread, for its good: with more, PyTorch collapses when the load shares the cores
        settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(self.repository / "src")}
        return stock(self.pythons[ARTICLE], folder, "ArticleModel", **settings)

    def _fastapi(self):
        folder, port = self._folder("fastapi"), free_port()
        command = [self.pythons[FAST], "-m", "uvicorn", "app:app", "--port", port, "--no-access-log"]
        return Running(command, port, "/health", folder, {})

    def _mlserver(self):
        folder, port = self._folder("mlserver"), free_port()
        settings = {
            "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "debug": False,
            "parallel_workers": 0,
        }  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps({"name": "digits", "implementation": "runtime.Digits"}))
        command = [self.pythons[ML].with_name("mlserver"), "start", "."]
        return Running(command, port, "/v2/models/digits/ready", folder, {})

    def request(self, peer: str, port: int, images: int, form: str) -> bytes | None:
        """A question in the form that this peer takes; None where it has none."""
        pixels = recorded_pixels(self.bundle, images)
        raw = b"".join(bytes(image) for image in pixels)
        flat = [value for image in pixels for value in image]
        if peer == ML:
            if form == "bytes":
                return None
            inputs = {"name": "image", "shape": [images, 784], "datatype": "INT32", "data": flat}
            return as_request(port, "/v2/models/digits/infer", json.dumps({"inputs": [inputs]}).encode())
        if peer == FAST:
            if form == "bytes":
                return as_request(port, "/predict-bytes", raw, "application/octet-stream")
            return as_request(port, "/predict", json.dumps({"images": pixels}).encode())
        if form == "bytes" and peer == ARTICLE:
            return None  # Seldon gives a class the bytes as they are, and this class knows arrays only
        message = {"binData": base64.b64encode(raw).decode()} if form == "bytes" else {"data": {"ndarray": pixels}}
        return as_request(port, "/api/v1.0/predictions", json.dumps(message).encode())


def measure(peers: Peers, rounds: int, seconds: float) -> tuple[dict, dict, dict]:
    """Requests a second by cell and peer, seconds until ready and megabytes by peer: medians over the rounds."""
    names = list(peers.pythons)
    starts: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            server = peers.start(name)
            starts[name].append(server.ready)
            server.end()
    servers, weights = {}, {}
    rates: dict[tuple, list[float]] = {}
    try:
        for name in names:
            servers[name] = peers.start(name)
            weights[name] = servers[name].megabytes()
        for _ in range(rounds):
            for images, form, connections in CELLS:
                for name in names:
                    server = servers[name]
                    request = peers.request(name, server.port, images, form)
                    if request is None:
                        continue
                    ask_for(server.port, request, 0.3, connections)
                    found = ask_for(server.port, request, seconds, connections)
                    if found.failed:
                        raise SystemExit(f"{name} failed {found.failed} requests of {images} as {form}")
                    rates.setdefault(((images, form, connections), name), []).append(found.rate)
    finally:
        for server in servers.values():
            server.end()
    middle = statistics.median
    return (
        {key: middle(values) for key, values in rates.items()},
        {name: middle(values) for name, values in starts.items()},
        weights,
    )


def tables(rates: dict, starts: dict, weights: dict) -> str:
    """What `measure` found, as Markdown; each peer's ratio is ours over theirs."""
    names = list(starts)
    head = ["images", "form", "connections", *names, *(f"ours / {name}" for name in names[1:])]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for cell in CELLS:
        ours = rates[cell, OURS]
        found = [rates.get((cell, name)) for name in names]
        shown = [f"{value:.0f}" if value else "-" for value in found]
        ratios = [f"{ours / value:.2f}" if value else "-" for value in found[1:]]
        lines.append("| " + " | ".join([*map(str, cell), *shown, *ratios]) + " |")
    lines += ["", "| server | ready in seconds | memory of all processes, MB |", "|---|---|---|"]
    lines += [f"| {name} | {starts[name]:.2f} | {weights[name]:.0f} |" for name in names]
    return "\n".join(lines)


def bake_times(rounds: int) -> str:
    """The bake beside one of a template with one question, one file and no hooks, alternating."""
    cookiecutter = [sys.executable, "-m", "cookiecutter", "--no-input"]
    times: dict[str, list[float]] = {"this template": [], "an empty template": []}
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "empty")
        (empty / "{{cookiecutter.repo_name}}").mkdir(parents=True)
        (empty / "cookiecutter.json").write_text('{"repo_name": "digits"}')
        (empty / "{{cookiecutter.repo_name}}" / "README.md").write_text("{{cookiecutter.repo_name}}\n")
        for number in range(rounds):
            for name, template in (("this template", ROOT), ("an empty template", empty)):
                began = time.perf_counter()
                run(*cookiecutter, template, "-o", Path(folder, f"out-{name}-{number}"), stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - began)
    ours, other = (statistics.median(values) for values in times.values())
    lines = ["| bake | seconds (median) | ratio |", "|---|---|---|", f"| an empty template | {other:.2f} | 1.00 |"]
    return "\n".join([*lines, f"| this template | {ours:.2f} | {ours / other:.2f} |"])


def sweep_table(repository: Path, python: Path) -> str:
    """The group of ten as `make sweep` runs it, and the same ten one after the other."""
    lines = ["| sweep of ten | seconds | ratio |", "|---|---|---|"]
    took = {}
    for name, words in (("as many at a time as there are cores", []), ("one after the other", ["--concurrency", "1"])):
        began = time.perf_counter()
        group = ["-m", "mlops.platform.runner", "hparam-group", *words]
        run(python, *group, cwd=repository, env=with_source(repository), stdout=subprocess.DEVNULL)
        took[name] = time.perf_counter() - began
    slowest = max(took.values())
    return "\n".join([*lines, *(f"| {name} | {value:.1f} | {slowest / value:.2f} |" for name, value in took.items())])


def training_table(repository: Path, python: Path) -> str:
    """Our training beside a DataLoader's."""
    found = subprocess.run(
        [python, HERE / "training.py"], cwd=repository, env=with_source(repository),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.strip()


def with_source(repository: Path) -> dict[str, str]:
    """The environment of a program of the repository's."""
    return os.environ | {"PYTHONPATH": str(repository / "src")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--python", type=Path, help="its working environment's (default: DIR/.venv/bin/python)")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="where environments are made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    given = parser.parse_args()
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    repository = (given.repository or make_repository(work)).absolute()
    if not (repository / "build" / "bundle" / "model.onnx").is_file():
        sys.exit(f"{repository} has no bundle. Make it there with: make setup pipeline")
    peers = Peers(repository, work)
    busy = os.getloadavg()[0]
    found = tables(*measure(peers, given.rounds, given.seconds))
    python = given.python or repository / ".venv" / "bin" / "python"
    parts = [
        "# Benchmarks",
        f"Written by `make bench` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores (load average {busy:.1f} "
        f"before), {platform.machine()}, {platform.system()}, no GPU. Requests a second, medians of {given.rounds} "
        f"alternating rounds of {given.seconds:g} s; the load runs on the same cores. Read the ratios: figures move "
        "with the machine.",
        "## Serving",
        found,
        "The same network serves everywhere, on one thread for a request: the template, FastAPI and MLServer run it "
        "as the same ONNX file, the article's class in PyTorch, in Seldon's own server. `bytes` is binData here and "
        "a plain body in FastAPI; the others have no such form here.",
        "## Training",
        training_table(repository, python),
        sweep_table(repository, python),
        "## Making a repository",
        bake_times(2 * given.rounds),
    ]
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(given.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
