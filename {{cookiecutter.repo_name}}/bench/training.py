"""How long an epoch takes here, against the usual way: torchvision's transforms and a DataLoader. `make bench`.

Both fit the same network with the same recipe, order of work and number of steps, on one thread, alternating; the
table holds medians over the epochs. What they reach is shown, because a faster epoch that learns less is none.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from {{ cookiecutter.src_package_name }} import training
from {{ cookiecutter.src_package_name }}.data import DATA_FILE, load
from {{ cookiecutter.src_package_name }}.network import MEAN, STD

CPU = torch.device("cpu")


class Images(Dataset):
    """Digits one by one, as torchvision.datasets.MNIST gives them: a picture, transformed when it is asked for."""

    def __init__(self, digits):
        self.digits = digits
        steps = [transforms.ToPILImage(), transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))]
        self.transform = transforms.Compose(steps)

    def __len__(self):
        return len(self.digits.labels)

    def __getitem__(self, index):
        return self.transform(self.digits.images[index]), int(self.digits.labels[index])


def loader_epoch(progress, loader) -> None:
    """One pass over a DataLoader."""
    progress.network.train()
    for images, labels in loader:
        loss = functional.cross_entropy(progress.network(images), labels)
        progress.optimiser.zero_grad()
        loss.backward()
        progress.optimiser.step()
        if progress.schedule:
            progress.schedule.step()
        progress.step += 1


def measure(data_file: Path, recipe: str, rounds: int) -> str:
    """The table, as Markdown."""
    torch.set_num_threads(1)
    splits = load(data_file).splits
    chosen = training.Hyperparameters.of(recipe)
    images, labels = training.on_device(splits["train"], CPU)
    test = training.on_device(splits["test"], CPU)
    loader = DataLoader(Images(splits["train"]), batch_size=chosen.batch_size, shuffle=True)
    limit = training.steps_in_all(chosen, len(labels))
    times: dict[str, list[float]] = {"DataLoader": [], "in memory": []}
    reached: dict[str, list[float]] = {"DataLoader": [], "in memory": []}
    for number in range(rounds):
        seeded = training.Hyperparameters.of(recipe, seed=number)
        both = {name: training.begin(seeded, len(labels), CPU) for name in times}
        # As they are when nobody asks for others:
        both["DataLoader"].network.to(memory_format=torch.contiguous_format)
        both["DataLoader"].optimiser.param_groups[0]["fused"] = False
        for _ in range(chosen.epochs):
            for name, progress in both.items():
                began = time.perf_counter()
                if name == "DataLoader":
                    loader_epoch(progress, loader)
                else:
                    training.run_epoch(progress, images, labels, chosen.batch_size, limit, lambda: None)
                times[name].append(time.perf_counter() - began)
        for name, progress in both.items():
            reached[name].append(training.evaluate(progress.network, *test, chosen.test_batch_size)[1])
    lines = ["| training | seconds an epoch (median) | ratio | test accuracy |", "|---|---|---|---|"]
    slow = statistics.median(times["DataLoader"])
    for name, values in times.items():
        middle = statistics.median(values)
        lines.append(f"| {name} | {middle:.3f} | {slow / middle:.2f} | {statistics.mean(reached[name]):.4f} |")
    lines.append(f"\nRecipe {recipe}, batch {chosen.batch_size}, {len(labels)} digits, one thread, {rounds} fits each.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA_FILE)
    parser.add_argument("--recipe", default="default", choices=list(training.RECIPES))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if not given.data.is_file():
        sys.exit(f"There is no data at {given.data}. Make it with: make data")
    print(measure(given.data, given.recipe, given.rounds))


if __name__ == "__main__":
    main()
