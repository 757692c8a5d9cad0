"""network: shapes, size, and the preparation of pixels that training and serving share."""

import pytest
import torch

from {{ cookiecutter.src_package_name }}.network import Network, PixelsToProbabilities, normalise


def test_images_become_ten_logits_each():
    assert Network()(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_it_has_21840_parameters():
    assert sum(parameter.numel() for parameter in Network().parameters()) == 21840


def test_pixels_are_normalised_as_mnist_is():
    # (0 / 255 - 0.1307) / 0.3081 and (255 / 255 - 0.1307) / 0.3081
    ends = normalise(torch.tensor([0, 255], dtype=torch.uint8))
    assert ends.tolist() == pytest.approx([-0.424213, 2.821486], abs=1e-6)


def test_what_is_served_gives_probabilities_that_do_not_change_between_calls():
    model = PixelsToProbabilities(Network()).eval()
    pixels = torch.randint(0, 256, (4, 1, 28, 28)).float()
    first = model(pixels)
    assert torch.allclose(first.sum(1), torch.ones(4))
    assert torch.equal(first, model(pixels))
