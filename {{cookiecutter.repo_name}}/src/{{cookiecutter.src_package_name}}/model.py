"""Our network, and what it is to make small. It takes values as they are, so what is served is what was trained."""

import torch
from mlops.schema import Schema
from torch import Tensor, nn
from torch.nn import functional


class Normalize(nn.Module):
    """The first layer: pictures [N, height, width, channels] to [N, channels, height, width], mean 0 and deviation 1."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(self, inputs: Tensor) -> None:
        """Take the mean and the deviation of each channel from the training pictures."""
        values = inputs.reshape(-1, inputs.shape[-1]).float()
        self.mean, self.deviation = values.mean(0), values.std(0).clamp(min=1e-6)

    def forward(self, inputs: Tensor) -> Tensor:
        return ((inputs.float() - self.mean) / self.deviation).permute(0, 3, 1, 2)


class Network(nn.Module):
    """Two convolutions and two linear layers: pictures as they are to one logit for each class."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        height, width, channels = schema.inputs.shape
        self.normalize = Normalize(channels)
        self.convolution1 = nn.Conv2d(channels, 10, kernel_size=5)
        self.convolution2 = nn.Conv2d(10, 20, kernel_size=5)
        self.channel_dropout = nn.Dropout2d()
        left = [((side - 4) // 2 - 4) // 2 for side in (height, width)]  # of each side, after both convolutions
        self.hidden = nn.Linear(20 * left[0] * left[1], 50)
        self.dropout = nn.Dropout()
        self.output = nn.Linear(50, len(schema.outputs.names))

    def fit(self, inputs: Tensor) -> None:
        """Fit what is not learned step by step, before the first step."""
        self.normalize.fit(inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.normalize(inputs)
        x = functional.relu(functional.max_pool2d(self.convolution1(x), 2))
        x = functional.relu(functional.max_pool2d(self.channel_dropout(self.convolution2(x)), 2))
        x = functional.relu(self.hidden(x.flatten(1)))
        return self.output(self.dropout(x))


def build(schema: Schema) -> nn.Module:
    """Return the network for what goes in and what comes out."""
    return Network(schema)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits [N, classes] and numbers of classes [N]."""
    return functional.cross_entropy(outputs, targets)
