"""The server's other pages, over HTTP: health, metadata, metrics."""

import json
import subprocess

import pytest
import requests
from serving_server import recorded, serve


@pytest.fixture(scope="module")
def server(bundle, serving_python):
    with serve(bundle, serving_python) as running:
        yield running


def test_health_predicts_and_says_which_run(server, bundle):
    answer = requests.get(server.url("/health/status"), timeout=10)
    run = json.loads((bundle / "metadata.json").read_text())["run"]["uuid"]
    assert answer.status_code == 200
    assert answer.json()["jsonData"] | {"commit": None} == {
        "status": "ready",
        "examples": 10,
        "run": run,
        "commit": None,
    }
    assert requests.get(server.url("/health/ping"), timeout=10).text == "pong"


def test_metadata_tells_shapes_and_where_the_model_comes_from(server, bundle):
    expected = json.loads((bundle / "metadata.json").read_text())
    found = requests.get(server.url("/metadata"), timeout=10).json()
    assert found["versions"] == [expected["run"]["uuid"]]
    assert found["inputs"] == [{"name": "inputs", "datatype": "FP32", "shape": [-1, 28, 28, 1]}]
    assert found["outputs"] == [{"name": "outputs", "datatype": "FP32", "shape": [-1, 10]}]
    assert json.loads(found["custom"]["data"]) == expected["data"]
    assert found["custom"]["model_digest"] == expected["model_digest"]
    assert "N x 784" in found["custom"]["accepts"]
    assert json.loads(found["custom"]["schema"]) == expected["schema"]
    assert found["name"] == expected["name"]


def test_metrics_count_exactly_what_was_asked(server, bundle):
    digits, before = recorded(bundle), server.metrics()
    rows = [digit["inputs"] for digit in digits]
    for values in (*([row] for row in rows), rows, [[300] * 784]):
        requests.post(server.url(), json={"data": {"ndarray": values}}, timeout=10)
    requests.get(server.url(), timeout=10)
    feedback = requests.post(server.url("/api/v1.0/feedback"), json={"reward": 0.5}, timeout=10)
    assert feedback.status_code == 200

    after = server.metrics()
    grown = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}

    assert grown['model_requests_total{code="200"}'] == 11
    assert grown['model_requests_total{code="400"}'] == 1
    assert grown['model_requests_total{code="405"}'] == 1
    assert grown["model_examples_total"] == 20
    assert grown["model_request_seconds_count"] == grown["model_batch_size_count"] == 11
    assert grown['model_batch_size_bucket{le="1.0"}'] == 10
    assert grown['model_batch_size_bucket{le="16.0"}'] == 11
    assert grown["model_batch_size_sum"] == 20
    found = [row["outputs"].index(max(row["outputs"])) for row in digits]
    for number in range(10):
        assert grown.get('model_predictions_total{class="' + str(number) + '"}', 0) == 2 * found.count(number)
    assert grown["seldon_api_model_feedback_total"] == 1
    assert grown["seldon_api_model_feedback_reward"] == 0.5
    mean = sum(sum(digit["inputs"]) for digit in digits) / 784
    assert abs(grown['model_input_statistic_total{statistic="mean"}'] - 2 * mean) < 0.1
    ink = sum(sum(pixel > 127 for pixel in digit["inputs"]) for digit in digits) / 784
    assert abs(grown['model_input_statistic_total{statistic="ink"}'] - 2 * ink) < 1e-4


def test_the_metrics_page_is_where_seldon_says(bundle, serving_python):
    """On the cluster PREDICTIVE_UNIT_METRICS_ENDPOINT says /prometheus; here the page has every path."""
    with serve(bundle, serving_python, PREDICTIVE_UNIT_METRICS_ENDPOINT="/prometheus") as server:
        page = requests.get(server.page.replace("/metrics", "/prometheus"), timeout=10)
        assert page.status_code == 200 and "model_requests_total{" in page.text


def test_the_metrics_page_is_one_that_prometheus_reads(server, serving_python):
    page = requests.get(server.page, timeout=10).text
    program = (
        "import sys; from prometheus_client.parser import text_string_to_metric_families as read\n"
        "names = [family.name for family in read(sys.stdin.read())]\n"
        "assert len(names) == len(set(names)), names; print(*names)"
    )
    done = subprocess.run([serving_python, "-c", program], input=page, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {"model_requests", "model_request_seconds", "model_batch_size", "model_predictions"} <= set(
        done.stdout.split()
    )
