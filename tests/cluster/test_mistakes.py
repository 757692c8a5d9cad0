"""`make check` refuses what the API server, kustomize, Argo's controller and Polyaxon refuse, and takes what they take.

The mistakes are drawn over every key and value of the files for the cluster, by a seed: MISTAKES_SEED=2 draws others.
"""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import Cluster
from .edits import KINDS, Edit, drawn, valid
from .judges import verdicts

EACH = {"k8s": 9, "argo": 9, "seldon": 9, "polyaxon": 1}  # mistakes of each kind: a Polyaxonfile takes seconds
CHECK = Path(__file__).parents[1] / "machinery/check_edits.py"
MAY_PASS = 0.05  # of those that the real thing refuses


@dataclass
class Judged:
    """An edit, why the real thing refuses it, and what `make check` says."""

    edit: Edit
    refused: str
    passed: bool
    said: str


def checked(python: Path, repository: Path, edits: list[Edit]) -> list[dict]:
    """Return what check_edits.py says of each edit."""
    texts = [{"path": edit.path, "part": edit.part, "text": edit.text} for edit in edits]
    command = [python, CHECK, repository]
    kept = {**os.environ, "PYTHONPATH": str(repository / "src")}
    done = subprocess.run(command, input=json.dumps(texts), env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of a repository's working environment, which has the tools of `make check`."""
    found = Path(os.environ.get("TEAM_VENV", "")) / "bin/python"
    if not found.is_file():
        pytest.skip("NOT CHECKED: TEAM_VENV names no environment made by `make setup`; type: make team")
    return found


@pytest.fixture(scope="module")
def judged(python, bake, fresh_kubeconfig) -> list[Judged]:
    """Each mistake and each valid edit, judged by both."""
    repository = bake(gcp_credentials="Key file")
    edits = [*drawn(repository, int(os.environ.get("MISTAKES_SEED", "18")), EACH), *valid(repository)]
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(lambda half: checked(python, repository, half), (edits[::2], edits[1::2])))
    answers = [halves[number % 2][number // 2] for number in range(len(edits))]
    pods = [[{"spec": pod} for pod in answer.get("pods", [])] for answer in answers]
    said = verdicts(Cluster(fresh_kubeconfig, own=True), repository, edits, pods)
    return [
        Judged(edit, answer.get("refused") or why, answer["good"], answer["said"])
        for edit, answer, why in zip(edits, answers, said, strict=True)
    ]


def table(mistakes: list[Judged]) -> str:
    """Return a line for each kind, and each mistake that passed though the real thing refuses it."""
    lines = [f"{'':20}{'drawn':>8}{'refused':>9}{'pass make check':>18}"]
    for kind in (*KINDS, "all"):
        own = [one for one in mistakes if kind in (one.edit.kind, "all")]
        refused = [one for one in own if one.refused]
        passed = [one for one in refused if one.passed]
        share = len(passed) / max(len(refused), 1)
        lines.append(f"{kind:20}{len(own):8}{len(refused):9}{len(passed):12}{share:6.1%}")
    missed = [f"{one.edit}: {' '.join(one.refused.split())[:300]}" for one in mistakes if one.refused and one.passed]
    return "\n".join([*lines, *missed])


def test_few_mistakes_pass_that_the_cluster_refuses(judged, capsys):
    mistakes = [one for one in judged if one.edit.kind in KINDS]
    with capsys.disabled():
        print(f"\n{table(mistakes)}")
    refused = [one for one in mistakes if one.refused]
    assert len(mistakes) >= 300
    assert min(sum(one.edit.kind == kind for one in mistakes) for kind in KINDS) >= 10
    assert sum(one.passed for one in refused) <= MAY_PASS * len(refused)


def test_no_valid_edit_is_refused(judged):
    edits = [one for one in judged if one.edit.kind not in KINDS]
    assert len(edits) >= 50
    assert [f"{one.edit}: {one.refused}" for one in edits if one.refused] == []
    assert [f"{one.edit}: {one.said}" for one in edits if not one.passed] == []
