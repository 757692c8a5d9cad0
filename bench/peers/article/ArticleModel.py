"""The usual Seldon class: PyTorch in `predict`, everything else left to the wrapper; the network is the template's."""

import json
from pathlib import Path

import torch
from digit_reader import model
from mlops import schema


class ArticleModel:
    def __init__(self):
        metadata = json.loads(Path("metadata.json").read_text())
        self.network = model.build(schema.from_dict(metadata["schema"], "metadata.json"))
        self.network.load_state_dict(torch.load("model.pt", weights_only=True))
        self.network.eval()

    def predict(self, X, names=None):
        images = torch.as_tensor(X, dtype=torch.float32).reshape(-1, 28, 28, 1)
        return torch.softmax(self.network(images), dim=1).detach().numpy()
