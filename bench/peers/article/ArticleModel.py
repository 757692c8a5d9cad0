"""The usual Seldon class: PyTorch in `predict`, everything else left to the wrapper; the network is the template's."""

import torch
from network import Network, PixelsToProbabilities


class ArticleModel:
    def __init__(self):
        network = Network()
        network.load_state_dict(torch.load("model.pt", weights_only=True))
        self.model = PixelsToProbabilities(network).eval()

    def predict(self, X, names=None):
        images = torch.as_tensor(X, dtype=torch.float32).reshape(-1, 1, 28, 28)
        return self.model(images).detach().numpy()
