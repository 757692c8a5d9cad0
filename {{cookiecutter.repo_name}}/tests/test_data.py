"""Our data: it is read the same every time, fits its schema, and what is missing is named."""

import numpy as np
import pytest
from mlops import client
from mlops.dataset import SPLITS
from mlops.errors import UserError


def test_the_source_is_known_again(data):
    assert data.fingerprint(data.DEFAULT_SOURCE) == data.fingerprint(data.DEFAULT_SOURCE) != ""


def test_every_example_has_the_schemas_shape(dataset):
    for name in SPLITS:
        inputs = dataset.splits[name].inputs
        assert inputs.shape == (len(dataset.splits[name]), *dataset.schema.inputs.shape)
        assert dataset.schema.inputs.read_array(inputs[:10]).shape == (min(10, len(inputs)), *inputs.shape[1:])


def test_every_class_is_in_every_split(dataset):
    for name in SPLITS:
        assert set(dataset.splits[name].targets) == set(range(len(dataset.schema.outputs.names)))


def test_no_example_is_in_two_splits(dataset):
    seen = [{inputs.tobytes() for inputs in dataset.splits[name].inputs} for name in SPLITS]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def test_there_are_samples_to_ask_about(data, dataset, few, at_root):
    questions = client.samples(at_root / data.SAMPLES, dataset.schema, few)
    assert questions
    for question in questions:
        assert question.inputs.shape == dataset.schema.inputs.shape
        assert question.label in dataset.schema.outputs.names


def test_a_source_that_is_not_there_is_named(data):
    with pytest.raises(UserError, match="no-such-source"):
        data.read("no-such-source")


def test_the_values_are_not_all_the_same(dataset):
    assert np.ptp(dataset.splits["train"].inputs) > 0
