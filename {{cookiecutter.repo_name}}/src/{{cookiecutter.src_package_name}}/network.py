"""The network, and nothing else."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Mean and standard deviation of the pixels of MNIST's training set, as shares of 255
MEAN, STD = 0.1307, 0.3081


def normalise(pixels: Tensor) -> Tensor:
    """Pixels 0-255 of any shape and type as float32 with mean 0 and deviation 1 over MNIST."""
    return (pixels.float() / 255 - MEAN) / STD


class Network(nn.Module):
    """Two convolutions and two linear layers: normalised images [N, 1, 28, 28] to logits [N, 10]; 21,840 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(1, 10, kernel_size=5)
        self.convolution2 = nn.Conv2d(10, 20, kernel_size=5)
        self.channel_dropout = nn.Dropout2d()
        self.hidden = nn.Linear(320, 50)
        self.dropout = nn.Dropout()
        self.output = nn.Linear(50, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.relu(functional.max_pool2d(self.convolution1(images), 2))
        x = functional.relu(functional.max_pool2d(self.channel_dropout(self.convolution2(x)), 2))
        x = functional.relu(self.hidden(x.flatten(1)))
        return self.output(self.dropout(x))


class PixelsToProbabilities(nn.Module):
    """What is served: pixels 0-255 [N, 1, 28, 28] to class probabilities [N, 10]; nothing is left to the caller."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network(normalise(image)), dim=1)
