"""Shared by the tests: the package's modules, its data, and one model trained on a part of it."""

import pkgutil
from pathlib import Path

import numpy as np
import pytest

from mlops import bundle, project, runs, trainer
from mlops import dataset as datasets

ROOT = Path(__file__).resolve().parents[1]
(PACKAGE,) = (path.parent for path in (ROOT / "src").glob("*/__main__.py"))
FEW = 200  # examples to learn from: enough for a second


@pytest.fixture(scope="session")
def team():
    """Return what `__main__.py` hands to mlops."""
    return pkgutil.resolve_name(f"{PACKAGE.name}.__main__:TEAM")


@pytest.fixture(scope="session")
def data(team):
    return team.data


@pytest.fixture(scope="session")
def model(team):
    return team.code().model


@pytest.fixture(scope="session")
def training(team):
    return team.code().training


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A folder that stands for the repository's root, so that these tests leave your data and runs alone."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("serving-requirements.txt", "serving.env", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="session")
def dataset(team, folder) -> datasets.Dataset:
    """The data that `make data` prepared; the package's default source where it was not typed yet."""
    if (ROOT / datasets.FILE).is_file():
        return datasets.load(ROOT / datasets.FILE, ROOT / "schema.toml")
    request, whole = team.data.DEFAULT, folder / "whole.safetensors"
    return datasets.prepare(team.data.read(request), team.data.fingerprint(request), whole, folder / "whole.toml")


@pytest.fixture(scope="session")
def few(dataset, folder) -> Path:
    """A prepared file with a few of its examples."""
    splits = {}
    for name, examples in dataset.splits.items():
        groups = [np.arange(len(examples))]
        if dataset.schema.outputs.kind == "classes":
            groups = [np.flatnonzero(examples.targets == target) for target in np.unique(examples.targets)]
        most = max(1, FEW // len(groups) // (1 if name == "train" else 4))
        splits[name] = examples.take(np.concatenate([rows[:most] for rows in groups]))
    origin = dataset.origin | {"digest": datasets.digest(splits, dataset.schema)}
    datasets.save(datasets.Dataset(splits, dataset.schema, origin), folder / datasets.FILE)
    return folder / datasets.FILE


@pytest.fixture
def at_root(folder, monkeypatch) -> Path:
    """The test runs in that folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLOPS_OUTPUTS", str(folder / "outputs"))
    return folder


@pytest.fixture(scope="session")
def bundled(team, few, folder) -> Path:
    """The bundle of a model that was trained on the few examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLOPS_OUTPUTS", str(folder / "outputs"))
        code = team.code()
        uuid = trainer.train(code, code.training.hyperparameters(epochs=2), few)
        bundle.package(code, runs.find(uuid), folder / "build/bundle", few)
    assert project.ROOT == ROOT, "another repository's mlops was imported: is PYTHONPATH set to it?"
    return folder / "build/bundle"
