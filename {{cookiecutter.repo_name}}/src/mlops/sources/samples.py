"""A table inside scikit-learn: 569 tumors, 30 numbers each, benign or malignant. No download."""

from importlib.metadata import version

import numpy as np

from ..dataset import Source
from .tables import infer

NAME, TARGET = "breast-cancer", "diagnosis"


def breast_cancer() -> Source:
    """Return the columns by name, and the diagnosis in words."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer()
    columns = {str(name): table.data[:, number] for number, name in enumerate(table.feature_names)}
    labels = np.array([str(table.target_names[number]) for number in table.target], dtype=object)
    return Source(NAME, columns, labels, schema=infer(columns), target=TARGET)


def fingerprint() -> str:
    """Return what changes when the table does: the package's version."""
    return f"scikit-learn {version('scikit-learn')}"
