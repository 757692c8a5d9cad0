"""How long an epoch takes, against the usual way: torchvision's transforms and a DataLoader.

    PYTHONPATH=REPOSITORY/src REPOSITORY/.venv/bin/python bench/training.py      (in the repository, after make data)

Both fit the same network with the same recipe, order of work and number of steps, on one thread, alternating; the
table holds medians over the epochs. The accuracies are shown too: a faster epoch that learns less would be no gain.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from digit_reader import training
from digit_reader.__main__ import TEAM
from mlops import dataset as datasets
from mlops.trainer import Job
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Pictures(Dataset):
    """Digits one by one, as torchvision.datasets.MNIST gives them: a picture, transformed when it is asked for."""

    def __init__(self, examples):
        self.examples = examples
        self.transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor(), Rescale()])

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.transform(self.examples.inputs[index]), int(self.examples.targets[index])


class Rescale:
    """Back to [height, width, channels] from 0 to 255, as the network takes them."""

    def __call__(self, picture):
        return picture.permute(1, 2, 0) * 255


class LoaderJob(Job):
    """The same job with batches of a DataLoader."""

    def batches(self):
        for batch in self.loader:
            self._mine = self._rows = len(batch[1])
            yield batch
            self.step += 1


def measure(data_file: Path, recipe: str, rounds: int) -> str:
    """The table, as Markdown."""
    dataset = datasets.load(data_file)
    chosen = training.hyperparameters(recipe)
    loader = DataLoader(Pictures(dataset.splits["train"]), batch_size=chosen.batch_size, shuffle=True)
    times: dict[str, list[float]] = {"DataLoader": [], "in memory": []}
    reached: dict[str, list[float]] = {"DataLoader": [], "in memory": []}
    for number in range(rounds):
        for name, kind in (("DataLoader", LoaderJob), ("in memory", Job)):
            job = kind(TEAM.code(), dataset, training.hyperparameters(recipe, seed=number, epochs=1), record=None)
            job.loader = loader
            if name == "DataLoader":  # as it is when nobody asks for another
                job.network.to(memory_format=torch.contiguous_format)
            began = time.perf_counter()
            training.train(job)
            times[name].append(time.perf_counter() - began)
            reached[name].append(training.evaluate(job.network, job.test, job.schema)["score"])
    lines = ["| training | seconds per epoch (median) | times as fast | test accuracy |", "|---|---|---|---|"]
    slow = statistics.median(times["DataLoader"])
    for name, values in times.items():
        middle = statistics.median(values)
        lines.append(f"| {name} | {middle:.3f} | {slow / middle:.2f} | {statistics.mean(reached[name]):.4f} |")
    count = len(dataset.splits["train"])
    lines.append(f"\nRecipe {recipe}, batch {chosen.batch_size}, {count} digits, one thread, {rounds} epochs each.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=datasets.FILE)
    parser.add_argument("--recipe", default="default", choices=list(training.RECIPES))
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    if not given.data.is_file():
        sys.exit(f"There is no data at {given.data}. Make it with: make data")
    print(measure(given.data, given.recipe, given.rounds))


if __name__ == "__main__":
    main()
