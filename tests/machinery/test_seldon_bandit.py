"""The bandit routes and learns over HTTP, in the real server, as Seldon's engine would ask it."""

import json
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml
from conftest import PACKAGE, ROOT
from mlops import bundle_source
from serving_server import serve

NODE = "bandit"  # the router's name in the graph, under which an answer's meta.routing has the branch
BODY = {"data": {"ndarray": [[0] * 784]}}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The part of a bundle that the router needs: no model is beside it."""
    for name, path in bundle_source.sources(ROOT / "src" / PACKAGE).items():
        if name.startswith("mlops/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_the_pod() -> dict[str, str]:
    """The variables that the overlay gives the router's container."""
    overlay = ROOT / "aisg-context/seldon/overlays/bandit/kustomization.yml"
    (patch,) = yaml.safe_load(overlay.read_text(encoding="utf-8"))["patches"]
    (env,) = [step["value"] for step in yaml.safe_load(patch["patch"]) if step["path"].endswith("/env")]
    return {item["name"]: item["value"] for item in env}


@contextmanager
def router(folder: Path, python: Path, before: tuple[str, ...] = (), writes: bool = True, **parameters):
    """A router that is ready; gives its server."""
    kinds = {int: "INT", float: "FLOAT"}
    described = [{"name": name, "value": str(value), "type": kinds[type(value)]} for name, value in parameters.items()]
    given = {"PREDICTIVE_UNIT_ID": NODE, "PREDICTIVE_UNIT_PARAMETERS": json.dumps(described), **in_the_pod()}
    with serve(folder, python, before=before, writes=writes, **given) as server:
        yield server


def route(server) -> tuple[int, dict]:
    answer = requests.post(server.url("/route"), json=BODY, timeout=10)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    ((branch,),) = content["data"]["ndarray"]
    return branch, content["meta"]["tags"]["branches"]


def reward(server, branch, value: float) -> None:
    """Feedback as Seldon's engine passes it on: the answer it is about holds the routing."""
    routing = {} if branch is None else {NODE: branch}
    body = {"request": BODY, "response": {"meta": {"routing": routing}}, "reward": value}
    answer = requests.post(server.url("/send-feedback"), json=body, timeout=10)
    assert answer.status_code == 200, answer.text


def test_it_learns_which_branch_earns_more_and_goes_on_exploring(folder, serving_python):
    earns, draw = [0.3, 0.8, 0.5], random.Random(1)
    with router(folder, serving_python, n_branches=3, epsilon=0.1, seed=1) as server:
        chosen = []
        for _ in range(400):
            branch, _ = route(server)
            chosen.append(branch)
            reward(server, branch, float(draw.random() < earns[branch]))
        _, learnt = route(server)
    late = chosen[200:]
    assert late.count(1) > 0.8 * len(late), chosen
    assert {0, 2} <= set(late), "it no longer explores"
    assert sum(branch["feedback"] for branch in learnt) == 400
    assert learnt[1]["mean_reward"] == pytest.approx(0.8, abs=0.1)


def test_every_branch_is_tried_before_one_is_preferred(folder, serving_python):
    with router(folder, serving_python, n_branches=4, epsilon=0.0) as server:
        for _ in range(4):
            branch, _ = route(server)
            reward(server, branch, 1.0)
        _, learnt = route(server)
    assert [branch["feedback"] for branch in learnt] == [1, 1, 1, 1]


def test_feedback_that_is_about_no_branch_changes_nothing(folder, serving_python):
    with router(folder, serving_python, n_branches=2, epsilon=0.0) as server:
        for branch in (None, -1, 2, 1.0, True, "1"):
            reward(server, branch, 1.0)
        _, learnt = route(server)
        assert "left out" in server.output()
    assert learnt == [{"feedback": 0, "mean_reward": None}] * 2


def test_requests_and_feedback_at_the_same_time_lose_nothing(folder, serving_python):
    with router(folder, serving_python, n_branches=2, epsilon=0.5) as server:

        def one(number: int) -> None:
            route(server)
            reward(server, number % 2, 1.0)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(100)))
        _, learnt = route(server)
    assert [branch["feedback"] for branch in learnt] == [50, 50]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"n_branches": 0}, "n_branches is 0"), ({"epsilon": 1.5}, "epsilon"), ({"other": 1}, "other")],
)
def test_parameters_that_make_no_sense_stop_the_start_and_say_why(folder, serving_python, parameters, said):
    with pytest.raises(AssertionError) as stopped, router(folder, serving_python, **parameters):
        pass
    assert said in str(stopped.value) and "Traceback" not in str(stopped.value)


def test_what_was_learnt_is_on_the_metrics_page(folder, serving_python):
    with router(folder, serving_python, n_branches=2, epsilon=0.0, seed=1) as server:
        reward(server, 1, 0.5)
        route(server)
        page = requests.get(server.page, timeout=10).text
    assert "bandit_mean_reward{" in page and 'branch="1"' in page and "0.5" in page


def test_a_read_only_root_filesystem_does_not_stop_it(folder, serving_python):
    apart = ["unshare", "--map-root-user", "--mount"]
    read_only = 'mount -o remount,bind,ro / && ! touch /tmp/written 2>/dev/null && exec "$@"'
    tried = subprocess.run([*apart, "sh", "-c", read_only, "sh", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine lets no one mount: {tried.stderr.strip() or tried.returncode}")
    with router(folder, serving_python, before=(*apart, "sh", "-c", read_only, "sh"), writes=False) as server:
        assert route(server)[0] in (0, 1)


def test_the_router_needs_nothing_of_the_serving_environment(folder):
    done = subprocess.run(
        ["python3", "-S", "-c", "import mlops.serving.bandit as b; print(b.EpsilonGreedy().route(None, None))"],
        cwd=folder, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.strip() in ("0", "1"), done.stderr
