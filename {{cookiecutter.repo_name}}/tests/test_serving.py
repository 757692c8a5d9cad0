"""Our model as it is served: the answers over HTTP are the trained network's, and what does not fit is refused."""

import json
import os

import numpy as np
import pytest
import requests
import torch

from mlops import client, local_server
from mlops import dataset as datasets
from mlops.errors import UserError


@pytest.fixture(scope="module")
def url(bundled, folder):
    """The real server on the bundle."""
    try:
        local_server.serving_python()
    except UserError as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    with (
        (folder / "server.log").open("wb") as log,
        local_server.server(bundled, log=log.fileno(), publish=False) as (url, _),
    ):
        yield url


@pytest.fixture
def test_split(few):
    return datasets.load(few, few.parents[2] / "schema.toml").splits["test"]


def test_it_answers_as_the_trained_network_does(url, at_root, team, bundled, test_split, dataset):
    metadata = json.loads((bundled / "metadata.json").read_text(encoding="utf-8"))
    network = team.code().model.build(dataset.schema)
    path = at_root / "outputs/runs" / metadata["run"]["uuid"] / "outputs/model.pt"
    network.load_state_dict(torch.load(path, weights_only=True))
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(test_split.inputs))
        if dataset.schema.outputs.kind == "classes":
            expected = torch.softmax(expected, dim=1)
    body = {"data": {"ndarray": [dataset.schema.inputs.as_request(example) for example in test_split.inputs]}}
    answer = requests.post(f"{url}{client.PREDICTIONS}", json=body, timeout=10).json()
    assert answer["data"]["names"] == dataset.schema.outputs.names
    assert np.allclose(answer["data"]["ndarray"], expected.numpy(), rtol=1e-4, atol=1e-4)
    assert answer["meta"]["tags"]["run"] == metadata["run"]["uuid"]


def test_its_score_was_measured_on_what_is_served(bundled, url, test_split, dataset):
    metadata = json.loads((bundled / "metadata.json").read_text(encoding="utf-8"))
    body = {"data": {"ndarray": [dataset.schema.inputs.as_request(example) for example in test_split.inputs]}}
    answers = np.array(requests.post(f"{url}{client.PREDICTIONS}", json=body, timeout=10).json()["data"]["ndarray"])
    assert metadata["metrics"]["test_score"] == pytest.approx(
        dataset.schema.outputs.score(answers, test_split.targets), abs=1e-4
    )


@pytest.mark.parametrize("wrong", [[], [["x"]], [[0]], [[None]], 7])
def test_what_does_not_fit_the_schema_is_refused_with_a_reason(url, wrong):
    answer = requests.post(f"{url}{client.PREDICTIONS}", json={"data": {"ndarray": wrong}}, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["status"]["info"]


def test_it_is_healthy_and_tells_its_schema(url, dataset):
    assert requests.get(f"{url}/health/status", timeout=10).ok
    custom = requests.get(f"{url}/metadata", timeout=10).json()["custom"]
    assert json.loads(custom["schema"]) == dataset.schema.as_dict()
