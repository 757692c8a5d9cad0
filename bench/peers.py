"""The served model beside what a team would pick instead, in one run: `make bench` at the template's root.

    python bench/peers.py [--repository DIR] [--short] [--only serving]

DIR is a repository of this template after `make setup pipeline`, of the default answers; without it, one is made. Each
peer's environment is made under --work from PyPI, once. All servers are up together, and each cell of the tables is the
median of rounds in which every server is measured in turn, so that a slow moment of the machine falls on all of them.
The tables replace their sections of docs/benchmarks.md; --short shows in minutes that all of it runs, and only prints.
"""

import argparse
import base64
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from load import as_request, ask_for
from repository import bake_times, sweep_table, training_table
from servers import Running, free_port, ours, stock

HERE = Path(__file__).parent
ROOT = HERE.parent
UV = Path(sys.executable).with_name("uv")

FASTAPI = ["fastapi==0.165.0", "uvicorn[standard]==0.54.0"]
MLSERVER = ["mlserver==1.7.1", "uvloop==0.21.0"]  # with a later uvloop its workers do not start
GRANIAN_SERVER = ["granian==2.8.9", "orjson"]
RELEASE_COMMIT = "b717c2f"  # the last of 0.1.0

OURS, BARE, GRANIAN, STOCK = "this template", "bare uvicorn", "bare Granian", "same class, stock Seldon"
RELEASE, FAST, ML = "release 0.1.0", "FastAPI + pydantic", "MLServer"
# images, form, connections
CELLS = [(images, form, calls) for images in (1, 16, 128) for form in ("JSON", "bytes") for calls in (1, 8)]


def run(*command, **options) -> None:
    """A step that must succeed; its output is the caller's."""
    subprocess.run([str(part) for part in command], check=True, **options)


def environment(folder: Path, *requirements) -> Path:
    """The Python of a virtual environment with these requirements: lists of arguments of `uv pip install`, in turn."""
    python = folder / "bin" / "python"
    wanted = json.dumps([[str(part) for part in step] for step in requirements])
    mark = folder / "installed.json"
    if not mark.is_file() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        run(UV, "venv", "--quiet", "--python", "3.11", folder)
        for step in requirements:
            run(UV, "pip", "install", "--quiet", "--python", python, *step)
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


def of_release(path: str) -> str:
    """A file of a team's repository as release 0.1.0 rendered it."""
    shown = ["git", "show", f"{RELEASE_COMMIT}:{{{{cookiecutter.repo_name}}}}/{path}"]
    text = subprocess.run(shown, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return text.replace("{{cookiecutter.src_package_name}}", "digit_reader")


class Peers:
    """The servers of all peers, and how each is asked."""

    def __init__(self, repository: Path, work: Path):
        self.bundle = repository / "build" / "bundle"
        self.work = work
        release = work / "release-requirements.txt"
        release.write_text(of_release("serving-requirements.txt"), encoding="utf-8")
        locked = ["--no-deps", "--require-hashes", "-r"]
        onnx = [pinned(repository, "onnxruntime"), pinned(repository, "numpy")]
        serving = environment(work / "envs" / "serving", [*locked, repository / "serving-requirements.txt"])
        self.with_onnx = environment(work / "envs" / "onnx", [pinned(repository, "onnx"), onnx[1]])
        self.pythons = {
            **dict.fromkeys((OURS, BARE, STOCK), serving),
            GRANIAN: environment(work / "envs" / "granian", [*GRANIAN_SERVER, *onnx]),
            RELEASE: environment(work / "envs" / "release", [*locked, release]),
            FAST: environment(work / "envs" / "fastapi", [*FASTAPI, *onnx]),
            ML: environment(work / "envs" / "mlserver", [*MLSERVER, onnx[0]]),
        }

    def start(self, peer: str) -> Running:
        """A peer's server, ready."""
        starts = {
            BARE: self._bare, GRANIAN: self._granian, STOCK: self._stock, RELEASE: self._release, FAST: self._fastapi,
            ML: self._mlserver,
        }  # fmt: skip
        return starts[peer]() if peer in starts else ours(self.pythons[OURS], self.bundle)

    def _folder(self, peer: str) -> Path:
        folder = self.work / "served" / peer
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(HERE / "peers" / peer, folder)
        shutil.copy(self.bundle / "model.onnx", folder)
        return folder

    def _bare(self):
        folder, port = self._folder("bare"), free_port()
        command = [self.pythons[BARE], "-m", "uvicorn", "app:app", "--port", port, "--no-access-log"]
        return Running([*command, "--lifespan", "off"], port, "/", folder, {})

    def _granian(self):
        folder, port = self._folder("bare"), free_port()
        command = [self.pythons[GRANIAN].with_name("granian"), "app:app", "--interface", "asginl", "--port", port]
        return Running([*command, "--workers", "1", "--no-ws"], port, "/", folder, {})

    def _stock(self):
        return stock(self.pythons[STOCK], self.bundle)

    def _release(self):
        folder = self._folder("release")
        names = ["__init__", "serving", "messages", "serving_http", "serving_metrics", "serving_server"]
        (folder / "digit_reader").mkdir()
        for name in (*names, "bundle_files", "drift", "bandit"):
            path = f"src/{{{{cookiecutter.src_package_name}}}}/{name}.py"
            (folder / "digit_reader" / f"{name}.py").write_text(of_release(path), encoding="utf-8")
        (folder / ".s2i").mkdir()
        (folder / ".s2i/environment").write_text(of_release("serving.env"), encoding="utf-8")
        run(self.with_onnx, folder / "bundle.py", self.bundle, folder)
        return stock(self.pythons[RELEASE], folder)

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
        message = {"binData": base64.b64encode(raw).decode()} if form == "bytes" else {"data": {"ndarray": pixels}}
        return as_request(port, "/api/v1.0/predictions", json.dumps(message).encode())


def measure(peers: Peers, rounds: int, seconds: float, warm_up: float = 0.3) -> tuple[dict, dict, dict]:
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
                    ask_for(server.port, request, warm_up, connections)
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
    """Format what `measure` found as Markdown; a ratio is ours divided by the peer's."""
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


def write_section(path: Path, title: str, text: str) -> None:
    """Replace a section of a page of Markdown, or put it at the end."""
    page = path.read_text(encoding="utf-8") if path.is_file() else "# Benchmarks\n"
    section = f"## {title}\n\n{text}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    found = pattern.search(page)
    page = pattern.sub(lambda _: f"{section}\n", page) if found else f"{page}\n{section}"
    path.write_text(page.rstrip() + "\n", encoding="utf-8")


HOW = """\
Taken on {day}: {cores} cores (load average {busy:.1f} before), {machine}, {system}, no GPU. Requests a second, medians
of {rounds} alternating rounds of {seconds:g} s; the load runs on the same cores. Read the ratios: figures move with the
machine. The same ONNX network serves everywhere, on one thread per request. *Bare* is an ASGI application that does
nothing but answer: no validation, metrics, drift or lineage. `bytes` is binData, and a plain body in FastAPI; MLServer
has no such form here."""


def serving_section(repository: Path, work: Path, rounds: int, seconds: float) -> str:
    """How the servers were measured side by side, and what was found."""
    peers, busy = Peers(repository, work), os.getloadavg()[0]
    found = tables(*measure(peers, rounds, seconds, min(seconds, 0.3)))
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
    how = HOW.format(day=time.strftime("%Y-%m-%d"), busy=busy, rounds=rounds, seconds=seconds, **machine)
    return f"{how}\n\n{found}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--python", type=Path, help="its working environment's (default: DIR/.venv/bin/python)")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="where environments are made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--short", action="store_true", help="one round of 0.2 s, which is printed alone")
    parser.add_argument("--only", choices=["serving"], help="leave out training, the sweep and the bake")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    given = parser.parse_args()
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    repository = (given.repository or make_repository(work)).absolute()
    if not (repository / "build" / "bundle" / "model.onnx").is_file():
        sys.exit(f"{repository} has no bundle. Make it there with: make setup pipeline")
    rounds, seconds = (1, 0.2) if given.short else (given.rounds, given.seconds)
    sections = {"Serving": serving_section(repository, work, rounds, seconds)}
    if not given.only:
        python = given.python or repository / ".venv" / "bin" / "python"
        sections["Training"] = f"{training_table(repository, python)}\n\n{sweep_table(repository, python)}"
        sections["Making a repository"] = bake_times(2 * rounds)
    for title, text in sections.items():
        print(f"## {title}\n\n{text}\n", flush=True)
        if not given.short:
            write_section(given.output, title, text)


if __name__ == "__main__":
    main()
