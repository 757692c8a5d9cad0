"""Our network: it takes examples as they are, in any number, and what it needs to know of the data is saved with it."""

import pytest
import torch


@pytest.fixture
def examples(dataset):
    return torch.from_numpy(dataset.splits["train"].inputs[:8])


@pytest.fixture
def network(model, dataset, examples):
    torch.manual_seed(1)
    network = model.build(dataset.schema)
    if hasattr(network, "fit"):
        network.fit(examples, torch.from_numpy(dataset.splits["train"].targets[:8]))
    return network.eval()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_example_gets_a_number_for_each_output(network, dataset, examples, count):
    assert network(examples[:count]).shape == (count, len(dataset.schema.outputs.names))


def test_an_answer_depends_on_its_example_alone_and_does_not_change(network, examples):
    together = network(examples)
    assert torch.equal(together, network(examples))
    assert torch.allclose(together[:1], network(examples[:1]), atol=1e-5)


def test_served_values_are_answered_as_stored_ones(network, examples):
    assert torch.allclose(network(examples), network(examples.float()), atol=1e-6)


def test_a_saved_network_answers_the_same(network, model, dataset, examples):
    again = model.build(dataset.schema)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(examples), network(examples))


def test_the_loss_has_gradients_that_are_numbers(network, model, dataset, examples):
    targets = torch.from_numpy(dataset.splits["train"].targets[: len(examples)])
    loss = model.loss(network(examples), targets, dataset.schema)
    loss.backward()
    assert loss.isfinite()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_the_loss_is_smaller_for_better_answers(model, dataset):
    outputs = dataset.schema.outputs
    if outputs.kind == "classes":
        targets = torch.arange(len(outputs.names))
        right = torch.nn.functional.one_hot(targets, len(outputs.names)).float() * 5
        wrong = -right
    else:
        targets = torch.tensor([outputs.low, outputs.high])
        right, wrong = targets[:, None], targets.flip(0)[:, None]
    assert model.loss(right, targets, dataset.schema) < model.loss(wrong, targets, dataset.schema)
