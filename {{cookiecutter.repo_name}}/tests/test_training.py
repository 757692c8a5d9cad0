"""Our training: it learns, and the same seed gives the same model."""

import pytest
import torch

from mlops import dataset as datasets
from mlops.errors import UserError
from mlops.trainer import Job


@pytest.fixture
def train(team, training, few):
    """Train on a few examples, without a record; gives the job."""
    dataset = datasets.load(few, few.parents[2] / "schema.toml")

    def run(**given) -> Job:
        job = Job(team.code(), dataset, training.hyperparameters(**given), record=None)
        training.train(job)
        return job

    return run


@pytest.mark.parametrize("recipe", ["default", "article"])
def test_each_recipe_learns(train, training, recipe):
    job = train(recipe=recipe, epochs=20, batch_size=32)
    assert job.history[-1]["loss"] < job.history[0]["loss"]
    assert len(job.history) == 20


def test_the_default_recipe_is_better_than_guessing(train, training):
    job = train(epochs=40, batch_size=16)
    found = training.evaluate(job.network, job.train, job.schema)
    assert found["score"] > job.schema.outputs.trivial_score(job.train.targets.numpy())
    assert found["score"] == found[job.schema.outputs.metric]


def test_the_same_seed_gives_the_same_model_and_another_does_not(train):
    one, two, other = (train(epochs=1, seed=seed).network.state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_training_may_be_as_short_as_one_step(train, steps):
    assert train(train_steps=steps, epochs=7).step == steps  # an epoch of few examples is one step


def test_the_size_of_evaluations_batches_changes_no_result(train, training):
    job = train(epochs=1)
    all_at_once, one_by_one = (training.evaluate(job.network, job.test, job.schema, size) for size in (1000, 1))
    assert all_at_once == pytest.approx(one_by_one, abs=1e-5)


def test_a_hyperparameter_of_another_recipe_is_refused(training):
    with pytest.raises(UserError, match="--momentum belongs to SGD"):
        training.hyperparameters(momentum=0.9)
