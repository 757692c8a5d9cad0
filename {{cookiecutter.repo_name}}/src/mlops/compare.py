"""Compare two runs: their inputs, their metrics, and whether their difference is more than chance."""

import os
import textwrap
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import runs
from .errors import UserError
from .files import atomic_file
from .runs import Run

PICTURE = Path("build/compare.png")
RESAMPLES = 1000  # of the bootstrap
CHANCE = 0.05  # a difference that chance makes more often than this says nothing
READABLE = 20  # classes up to which the counts are written into the picture


@dataclass(frozen=True)
class Answers:
    """The answers of a run's model on its validation split: answers and targets [N], and the names of the answers.

    Of classes these are whole numbers, one a class; of a number there is one name.
    """

    answers: np.ndarray
    targets: np.ndarray
    names: list[str]

    @property
    def classes(self) -> bool:
        return self.answers.dtype.kind == "i"

    @property
    def right(self) -> np.ndarray:
        return self.answers == self.targets

    def r2(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Return R² over some rows."""
        from sklearn.metrics import r2_score

        return r2_score(self.targets[rows], self.answers[rows])


def pair(uuids: Sequence[str], comparable: Callable[[], list[Run]]) -> tuple[Run, Run]:
    """Return the two runs that are named; in the place of those that are not, the best comparable ones."""
    if len(uuids) > 2:
        raise UserError(f"{len(uuids)} runs are named, and two are compared: make compare RUNS='UUID UUID'")
    named = [runs.find(uuid) for uuid in uuids]
    if len(named) == 2 and named[0].uuid == named[1].uuid:
        raise UserError(f"Both are run {named[0].uuid}. Name two: make compare RUNS='UUID UUID'")
    best = comparable() if len(named) < 2 else []
    found = [*[run for run in best if run.uuid not in {run.uuid for run in named}][: 2 - len(named)], *named]
    if len(found) < 2:
        raise UserError(
            "There are no two runs of the data and the code of now. Train another one, or name two of those that "
            "`make best` lists: make compare RUNS='UUID UUID'"
        )
    return found[0], found[1]


def report(one: Run, other: Run, picture: Path = PICTURE) -> list[str]:
    """Compare two runs as lines to read, and draw their answers as one picture."""
    pair = (one, other)
    found = [_answers(run) for run in pair]
    lines = [*_inputs(one, other), "", *_outputs(one, other), "", *_scores(pair, found)]
    if any(found):
        _draw(pair, found, picture)
        lines += ["", f"picture: {picture}"]
    return lines


def _inputs(one: Run, other: Run) -> list[str]:
    names = list(dict.fromkeys([*runs.LINEAGE, *one.inputs, *other.inputs]))
    about = [("status", one.status, other.status), ("made (UTC)", one.made, other.made)]
    values = [(name, one.inputs.get(name), other.inputs.get(name)) for name in names]
    differ = [(name, _shown(ours), _shown(theirs)) for name, ours, theirs in values if ours != theirs]
    same = [f"{name} {_shown(ours)}" for name, ours, theirs in values if ours == theirs is not None]
    lines = runs.aligned([["", one.uuid[:12], other.uuid[:12]], *map(list, about), *map(list, differ)])
    return [*lines, *textwrap.wrap(f"the same: {', '.join(same) or 'nothing'}", 100, subsequent_indent="  ")]


def _outputs(one: Run, other: Run) -> list[str]:
    names = sorted(one.outputs.keys() | other.outputs.keys(), key=lambda name: (name not in runs.RANGES, name))
    rows = [[name, _shown(one.outputs.get(name)), _shown(other.outputs.get(name))] for name in names]
    return runs.aligned([["", one.uuid[:12], other.uuid[:12]], *rows])


def _shown(value) -> str:
    text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text[:12] if len(text) in (40, 64) else text  # of a commit, of a digest


def _answers(run: Run) -> Answers | None:
    """Read what a run recorded of its validation split; None where it recorded nothing, or that is damaged."""
    try:
        with np.load(run.answers, allow_pickle=False) as file:
            return Answers(file["answers"], file["targets"], file["names"].tolist())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _scores(pair: tuple[Run, Run], found: list[Answers | None]) -> list[str]:
    lines = []
    for run, answers in zip(pair, found, strict=True):
        lines.append(f"{run.uuid[:12]}  {_score(answers) if answers else 'has no answers on validation recorded'}")
    one, other = found
    if one is None or other is None:
        return [*lines, "Not compared example by example: train it again for that."]
    if pair[0].inputs.get("data_digest") != pair[1].inputs.get("data_digest") or one.classes != other.classes:
        return [*lines, "Not compared example by example: they are of other data, so the scores do not compare either."]
    return [*lines, *(_paired_classes(one, other) if one.classes else _paired_numbers(one, other))]


def _score(found: Answers) -> str:
    count = len(found.targets)
    if found.classes:
        from scipy.stats import binomtest

        right = int(found.right.sum())
        low, high = binomtest(right, count).proportion_ci(1 - CHANCE, method="wilson")
        what = f"accuracy {right / count:.4f} on validation: {right} of {count} right"
    else:
        low, high = _interval(found.r2, count)
        what = f"R² {found.r2():.4f} on validation, of {count} examples"
    return f"{what}; 95 % interval {low:.4f} to {high:.4f}"


def _paired_classes(one: Answers, other: Answers) -> list[str]:
    """Tell by McNemar's exact test whether the examples that only one answers right are evenly shared."""
    from scipy.stats import binomtest

    first, second = int((one.right & ~other.right).sum()), int((other.right & ~one.right).sum())
    chance = binomtest(first, first + second).pvalue if first + second else 1.0
    return [
        f"examples apart: {abs(first - second)}; {first} only the first has right, {second} only the second, "
        f"{int((one.right & other.right).sum())} both, {int((~one.right & ~other.right).sum())} neither",
        f"{_verdict(chance < CHANCE)} (McNemar's exact test: p = {chance:.2g})",
    ]


def _paired_numbers(one: Answers, other: Answers) -> list[str]:
    """Compare by the paired bootstrap: the same examples are drawn for both, so that hard ones count for neither."""
    low, high = _interval(lambda rows: one.r2(rows) - other.r2(rows), len(one.targets))
    closer = int((np.abs(one.answers - one.targets) < np.abs(other.answers - other.targets)).sum())
    return [
        f"{one.r2() - other.r2():+.4f} R² apart, 95 % interval {low:+.4f} to {high:+.4f}; the first is closer on "
        f"{closer} of {len(one.targets)} examples",
        f"{_verdict(low > 0 or high < 0)} (paired bootstrap of {RESAMPLES:,} resamples)",
    ]


def _verdict(told: bool) -> str:
    return "More than chance explains" if told else "No more than chance explains: neither is known to be better"


def _interval(statistic: Callable[[np.ndarray], float], count: int) -> tuple[float, float]:
    """Return the interval of a statistic of rows, by the bootstrap."""
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.arange(count),), statistic, n_resamples=RESAMPLES, confidence_level=1 - CHANCE, method="percentile",
        vectorized=False, rng=1,
    )  # fmt: skip
    return found.confidence_interval.low, found.confidence_interval.high


def _draw(pair: tuple[Run, Run], found: list[Answers | None], picture: Path) -> None:
    """Draw confusion matrices of classes, residuals of a number."""
    os.environ["MPLCONFIGDIR"] = str(picture.parent.absolute() / "matplotlib")  # neither read nor written in a home
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.parse_math": False}):  # a name may hold $
        figure = Figure(figsize=(14, 7))
        numbers = all(answers and not answers.classes for answers in found)
        panels = figure.subplots(1, 2, sharex=numbers, sharey=numbers)
        for axes, run, answers in zip(panels, pair, found, strict=True):
            if answers is None:
                axes.text(0.5, 0.5, "no answers recorded", ha="center")
                axes.set_axis_off()
            else:
                (_draw_confusion if answers.classes else _draw_residuals)(answers, axes)
            axes.set_title(f"run {run.uuid[:12]}")
        with atomic_file(picture) as draft:
            figure.savefig(draft, bbox_inches="tight")


def _draw_confusion(found: Answers, axes) -> None:
    from sklearn.metrics import ConfusionMatrixDisplay

    few = len(found.names) <= READABLE
    ConfusionMatrixDisplay.from_predictions(
        found.targets, found.answers, labels=range(len(found.names)), display_labels=found.names if few else None,
        include_values=few, xticks_rotation="vertical", cmap="Blues", colorbar=False, ax=axes,
    )  # fmt: skip
    axes.set(xlabel="answer", ylabel="target")


def _draw_residuals(found: Answers, axes) -> None:
    from sklearn.metrics import PredictionErrorDisplay

    PredictionErrorDisplay.from_predictions(found.targets, found.answers, subsample=5000, random_state=1, ax=axes)
    axes.set(xlabel=f"answer, {found.names[0]}", ylabel="target - answer")
