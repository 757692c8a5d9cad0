"""Our data: it is read the same every time, fits its schema, and what is missing is named."""

import numpy as np
import pytest

from mlops import client
from mlops.dataset import SPLITS
from mlops.errors import UserError
from mlops.sources import Request


def test_the_source_is_known_again(data):
    assert data.fingerprint(data.DEFAULT) == data.fingerprint(data.DEFAULT) != ""


def test_every_example_has_the_schemas_shape(dataset):
    for name in SPLITS:
        inputs = dataset.splits[name].inputs
        assert inputs.shape == (len(dataset.splits[name]), *dataset.schema.inputs.shape)
        assert dataset.schema.inputs.read_array(inputs[:10]).shape == (min(10, len(inputs)), *inputs.shape[1:])


def test_every_class_is_learned_and_every_target_is_told_back(dataset):
    outputs, targets = dataset.schema.outputs, dataset.splits["train"].targets
    told = [outputs.decode(target) for target in targets[:20]]
    if outputs.kind == "classes":
        assert set(targets) == set(range(len(outputs.names)))
        assert outputs.encode(told, "").tolist() == targets[:20].tolist()
    else:
        numbers = [float(text.removesuffix(f" {outputs.unit}")) for text in told]
        assert np.allclose(numbers, targets[:20], rtol=1e-3)


def test_an_example_that_is_sent_is_read_as_it_was_stored(dataset):
    schema, examples = dataset.schema.inputs, dataset.splits["test"].inputs[:20]
    sent = [schema.as_request(example) for example in examples]
    assert np.array_equal(schema.read_json(sent, "data.ndarray"), examples.astype(np.float32), equal_nan=True)


def test_there_are_samples_to_ask_about(data, dataset, few, at_root):
    questions = client.samples(at_root / data.SAMPLES, dataset.schema, few)
    assert questions
    for question in questions:
        assert question.inputs.shape == dataset.schema.inputs.shape
        assert question.label


def test_a_source_that_is_not_there_is_named(data):
    with pytest.raises(UserError, match="no-such-source"):
        data.read(Request("no-such-source"))


def test_the_values_are_not_all_the_same(dataset):
    assert np.nanstd(dataset.splits["train"].inputs.astype(float)) > 0
