"""The default network for tables beside scikit-learn's, on four tables inside packages: mean of ten seeds.

    PYTHONPATH=REPOSITORY/src REPOSITORY/.venv/bin/python bench/tables.py     (a repository of the example `table`)

Each seed draws another split of 20 % for the test, and another start. Ours trains on the rest less 12.5 %, which it
does not look at. Needs palmerpenguins.
"""

import argparse
import warnings

import numpy as np
import torch
from digit_reader import training
from digit_reader.__main__ import TEAM
from mlops import dataset as datasets
from mlops.dataset import Dataset
from mlops.schema import Classes, Number, Schema
from mlops.sources.tables import column_values, infer
from mlops.trainer import Job
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def tables():
    for load in (load_wine, load_breast_cancer, load_diabetes):
        table = load(as_frame=True)
        number = load is load_diabetes
        labels = table.target.astype(float) if number else table.target_names[table.target]
        yield load.__name__[5:], table.data, np.asarray(labels), number
    penguins = load_penguins()
    yield "penguins", penguins.drop(columns="species"), penguins.species.to_numpy(), False


def sklearn_models(frame, number, seed):
    words = [name for name in frame if frame[name].dtype == object]
    numbers = [name for name in frame if name not in words]
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), words),
    )
    plain = RidgeCV(np.logspace(-3, 3, 13)) if number else LogisticRegression(max_iter=5000)
    coded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words), remainder="passthrough"
    )
    boosted = (HistGradientBoostingRegressor if number else HistGradientBoostingClassifier)(random_state=seed)
    return {"linear": make_pipeline(prepared, plain), "boosting": make_pipeline(coded, boosted)}


def ours(frame, labels, number, train, test, seed, **given):
    columns = {name: column_values(name, frame[name]) for name in frame}
    schema = Schema(infer(columns), Number.infer("target", labels) if number else Classes.infer(labels))
    inputs, targets = schema.inputs.encode(columns), schema.outputs.encode(labels, "")
    whole = datasets.Examples(inputs, targets)
    kept, held = train_test_split(train, test_size=0.125, random_state=seed, stratify=None if number else labels[train])
    data = Dataset({"train": whole.take(kept), "validation": whole.take(held), "test": whole.take(test)}, schema, {})
    job = Job(TEAM.code(), data, training.hyperparameters(seed=seed, **given), record=None)
    training.train(job)
    return training.evaluate(job.network, job.test, schema)["score"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    for name in ("epochs", "batch-size"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--lr", type=float)
    given = vars(parser.parse_args())
    seeds = given.pop("seeds")
    given = {name: value for name, value in given.items() if value is not None}
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| table | rows | ours | linear | boosting |\n|---|---|---|---|---|")
    for name, frame, labels, number in tables():
        found = {"ours": [], "linear": [], "boosting": []}
        for seed in range(seeds):
            rows = np.arange(len(frame))
            train, test = train_test_split(rows, test_size=0.2, random_state=seed, stratify=None if number else labels)
            found["ours"].append(ours(frame, labels, number, train, test, seed, **given))
            for kind, model in sklearn_models(frame, number, seed).items():
                model.fit(frame.iloc[train], labels[train])
                found[kind].append(model.score(frame.iloc[test], labels[test]))
        cells = [f"{np.mean(v):.4f} ± {np.std(v, ddof=1) / len(v) ** 0.5:.4f}" for v in found.values()]
        print(f"| {name} | {len(frame)} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
