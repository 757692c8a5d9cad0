"""Our model as Seldon serves it: the class that MODEL_NAME in serving.env names."""

import numpy as np
from mlops.serving.model import ServedModel


class Model(ServedModel):
    """The model of a bundle. It reads requests by the schema, and answers with a number for each output."""

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return the answers float32 [N, outputs] to the inputs float32 [N, *shape] of a request.

        A place for what must be done before the network or after it.
        """
        return super().predict(inputs)
