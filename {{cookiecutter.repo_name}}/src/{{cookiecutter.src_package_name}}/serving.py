"""Our model as Seldon serves it: the class that MODEL_NAME in serving.env names."""

from mlops.serving.model import ServedModel


class Model(ServedModel):
    """The model of a bundle. Every method of Seldon's wrapper can be written here; see ServedModel."""

    def predict(self, X, names=None, meta=None):
        """Answer a request: read its inputs by the schema, return numbers [N, outputs]."""
        inputs = self.read(X, names)
        return self.run(inputs)  # a place for what must be done before the network or after it
