"""Tables beside the servers': making a repository, a sweep, and training in memory beside a DataLoader's."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent


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
                made = Path(folder, f"out-{name}-{number}")
                subprocess.run([*cookiecutter, template, "-o", made], check=True, stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - began)
    ours, other = (statistics.median(values) for values in times.values())
    lines = [
        "| bake | seconds (median) | times as long |",
        "|---|---|---|",
        f"| an empty template | {other:.2f} | 1.00 |",
    ]
    return "\n".join([*lines, f"| this template | {ours:.2f} | {ours / other:.2f} |"])


def sweep_table(repository: Path, python: Path) -> str:
    """The group of ten as `make sweep` runs it, and the same ten one after the other."""
    lines = ["| sweep of ten | seconds | times as fast |", "|---|---|---|"]
    took = {}
    for name, words in (("as many at a time as there are cores", []), ("one after the other", ["--concurrency", "1"])):
        began = time.perf_counter()
        group = [str(python), "-m", "mlops.platform.runner", "hparam-group", *words]
        environment = with_source(repository)
        subprocess.run(group, cwd=repository, env=environment, check=True, stdout=subprocess.DEVNULL)
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
