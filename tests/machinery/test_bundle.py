"""package: everything a server and an image build need, from one run, and only if both runtimes answer alike."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from mlops import bundle as bundles
from mlops import bundle_source, runs
from mlops import dataset as datasets
from mlops.errors import UserError
from mlops.serving.bundle_files import environment_of, read_metadata


@pytest.fixture(scope="module")
def code(team):
    return team.code()


@pytest.fixture(scope="module")
def dataset(data_file, workplace):
    return datasets.load(data_file, workplace / "schema.toml")


@pytest.fixture(scope="module")
def session(bundle):
    return onnxruntime.InferenceSession(bundle / "model.onnx")


@pytest.fixture
def own_bundle(bundle, tmp_path) -> Path:
    """A copy of the bundle, to be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


def test_it_holds_what_a_server_and_s2i_need(bundle, team):
    files = [path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file()]
    made = {str(path) for path in files if "__pycache__" not in path.parts}
    package = team.package.name
    team_code = {f"{package}/{path.relative_to(team.package)}" for path in team.package.rglob("*.py")}
    machinery = {name for name in made if name.startswith("mlops/")}
    assert made - team_code - machinery == {
        "model.onnx",
        "metadata.json",
        "recorded-answers.json",
        "requirements.txt",
        ".s2i/environment",
    }
    assert team_code <= made
    assert {name for name in machinery if not name.startswith("mlops/serving/")} == {
        f"mlops/{name}.py" for name in ("__init__", "columns", "errors", "images", "processes", "schema", "tables")
    }
    serving = {f"mlops/serving/{path.name}" for path in (team.package.parent / "mlops/serving").glob("*.py")}
    assert {name for name in machinery if name.startswith("mlops/serving/")} == serving
    assert environment_of(bundle)["MODEL_NAME"] == f"{package}.serving.Model"


def test_its_metadata_is_the_runs(bundle, in_workplace, trained, dataset):
    run, metadata = runs.find(trained), read_metadata(bundle)
    assert metadata["run"]["uuid"] == trained
    assert metadata["schema"] == dataset.schema.as_dict()
    assert metadata["data"]["digest"] == dataset.origin["digest"]
    assert metadata["data"]["counts"] == {"train": 3500, "validation": 500, "test": 1000}
    assert metadata["metric"] == "accuracy"
    assert metadata["hyperparameters"]["lr"] == run.inputs["lr"]
    assert metadata["code"]["commit"] == run.inputs["commit"]
    assert metadata["code"]["digest"] == run.inputs["code_digest"]
    assert metadata["model_digest"] == hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    assert metadata["libraries"]["torch"] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("count", [1, 2, 77])
def test_the_model_takes_any_number_of_digits_as_they_are(session, count):
    (answers,) = session.run(None, {"inputs": np.full((count, 28, 28, 1), 255, np.float32)})
    assert answers.shape == (count, 10)
    assert answers.sum(1) == pytest.approx(1, abs=1e-5)


def test_its_scores_are_measured_on_the_model_that_is_served_and_are_the_runs(
    bundle, in_workplace, session, trained, dataset
):
    metrics, run = read_metadata(bundle)["metrics"], runs.find(trained)
    for name, split in (("score", "validation"), ("test_score", "test")):
        examples = dataset.splits[split]
        (answers,) = session.run(None, {"inputs": examples.inputs.astype(np.float32)})
        assert (answers.argmax(1) == examples.targets).mean() == metrics[name] == run.outputs[name]


@pytest.mark.parametrize("changed", ["record", "model"])
def test_a_model_that_does_not_reach_the_recorded_score_is_refused(
    apart, workplace, code, trained, data_file, tmp_path, changed
):
    folder = Path(shutil.copytree(workplace / "outputs/runs" / trained, apart / "outputs/runs" / trained))
    run = runs.find(trained)
    if changed == "record":
        record = json.loads((folder / runs.RECORD).read_text(encoding="utf-8"))
        record["outputs"]["score"] = 1.0
        (folder / runs.RECORD).write_text(json.dumps(record), encoding="utf-8")
    else:
        weights = torch.load(run.model, weights_only=True)
        torch.save({name: -value if name.endswith("weight") else value for name, value in weights.items()}, run.model)
    for name in ("serving-requirements.txt", "serving.env"):
        (apart / name).symlink_to(workplace / name)
    with pytest.raises(UserError, match=r"recorded the score .* its model scores"):
        bundles.package(code, runs.find(trained), tmp_path / "bundle", data_file)
    assert not (tmp_path / "bundle").exists()


def test_it_records_what_the_model_answers_to_a_digit_of_each_class(bundle, session):
    recorded = json.loads((bundle / "recorded-answers.json").read_text(encoding="utf-8"))
    assert [answer["label"] for answer in recorded] == list("0123456789")
    inputs = np.array([answer["inputs"] for answer in recorded], np.float32).reshape(-1, 28, 28, 1)
    (answers,) = session.run(None, {"inputs": inputs})
    assert np.allclose(answers, [answer["outputs"] for answer in recorded], atol=1e-6)


def test_a_model_that_answers_otherwise_than_the_trained_one_is_refused(
    bundle, in_workplace, code, trained, monkeypatch
):
    before = read_metadata(bundle)
    right = bundles._export

    def wrong(model, schema, path):
        with torch.no_grad():
            model.network.output.bias[3] += 1e-3
        right(model, schema, path)
        with torch.no_grad():
            model.network.output.bias[3] -= 1e-3

    monkeypatch.setattr(bundles, "_export", wrong)
    with pytest.raises(UserError, match="does not answer like the trained one"):
        bundles.package(code, runs.find(trained))
    assert read_metadata(bundle) == before
    assert [path.name for path in bundle.parent.iterdir() if path.name.startswith(".")] == []


def test_a_model_file_that_is_damaged_or_of_another_network_is_refused(
    in_workplace, code, trained, tmp_path, monkeypatch
):
    run = runs.find(trained)
    other = tmp_path / "run"
    (other / "outputs").mkdir(parents=True)
    broken = runs.Run(run.uuid, run.name, run.status, run.created_at, run.inputs, run.outputs, other)
    broken.model.write_bytes(run.model.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.pt is not a model"):
        bundles.package(code, broken, tmp_path / "bundle")
    torch.save({"other": torch.zeros(1)}, broken.model)
    with pytest.raises(UserError, match=r"model\.pt is not a model"):
        bundles.package(code, broken, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_other_data_than_the_runs_is_refused(in_workplace, code, trained, data_file, dataset, tmp_path):
    from safetensors.numpy import load_file, save_file

    described = {"schema": dataset.schema.as_dict(), "origin": dataset.origin | {"digest": "0" * 64}}
    save_file(load_file(data_file), tmp_path / "other.safetensors", metadata={"dataset": json.dumps(described)})
    with pytest.raises(UserError, match="not the data that run"):
        bundles.package(code, runs.find(trained), tmp_path / "bundle", tmp_path / "other.safetensors")
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_is_current_until_its_code_its_run_or_its_model_changes(
    in_workplace, team, own_bundle, trained, tmp_path
):
    run = runs.find(trained)
    assert bundle_source.is_current(team.package, run, own_bundle)
    assert not bundle_source.is_current(team.package, run, tmp_path / "nothing")
    other = runs.Run("0" * 32, run.name, run.status, run.created_at, run.inputs, run.outputs, run.folder)
    assert not bundle_source.is_current(team.package, other, own_bundle)
    model = own_bundle / "model.onnx"
    right = model.read_bytes()
    model.write_bytes(right[:-1])
    assert not bundle_source.is_current(team.package, run, own_bundle)
    model.write_bytes(right)
    assert bundle_source.is_current(team.package, run, own_bundle)
    package = Path(shutil.copytree(team.package, tmp_path / team.package.name))
    assert bundle_source.is_current(package, run, own_bundle)
    with (package / "serving.py").open("a", encoding="utf-8") as file:
        file.write("# other\n")
    assert not bundle_source.is_current(package, run, own_bundle)


def test_packaging_without_data_names_the_command_that_makes_it(in_workplace, stage, trained, tmp_path):
    shutil.copytree(in_workplace / "outputs/runs" / trained, tmp_path / "outputs/runs" / trained)
    assert "make data" in stage("package", "--run", trained, cwd=tmp_path, fails=True).stderr
    assert not (tmp_path / "build").exists()


def test_the_network_is_served_in_the_order_of_the_schemas_classes(bundle, in_workplace, session, dataset):
    """An answer's place says its class: the names come from the bundle's own schema."""
    test = dataset.splits["test"].take(np.arange(100))
    (answers,) = session.run(None, {"inputs": test.inputs.astype(np.float32)})
    names = read_metadata(bundle)["schema"]["outputs"]["classes"]
    said = [names[row.argmax()] for row in answers]
    right = [dataset.schema.outputs.decode(target) for target in test.targets]
    assert np.mean(np.array(said) == right) > 0.9
