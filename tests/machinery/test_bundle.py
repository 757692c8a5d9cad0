"""package: everything a server and an image build need, from one run, and only if both runtimes answer alike."""

import hashlib
import json

import numpy as np
import onnxruntime
import pytest
import torch

from {{ cookiecutter.src_package_name }} import bundle as bundles
from {{ cookiecutter.src_package_name }} import data, runs
from {{ cookiecutter.src_package_name }}.bundle_files import environment_of, read_metadata
from {{ cookiecutter.src_package_name }}.errors import UserError


def test_it_holds_what_a_server_and_s2i_need(bundle):
    package = runs.__package__
    made = [path for path in bundle.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {str(path.relative_to(bundle)) for path in made} == {
        "model.onnx",
        "metadata.json",
        "recorded-answers.json",
        "requirements.txt",
        ".s2i/environment",
        *(f"{package}/{name}" for name in bundles.SERVED_MODULES),
    }
    assert environment_of(bundle)["MODEL_NAME"] == f"{package}.serving.DigitClassifier"


def test_its_metadata_is_the_runs(bundle, in_workplace, trained, data_file):
    run, dataset, metadata = runs.find(trained), data.load(data_file), read_metadata(bundle)
    assert metadata["run"]["uuid"] == trained
    assert metadata["data"]["digest"] == dataset.origin["digest"]
    assert metadata["data"]["counts"] == {"train": 3500, "validation": 500, "test": 1000}
    assert metadata["metrics"]["test_accuracy"] == run.outputs["test_accuracy"]
    assert metadata["hyperparameters"]["lr"] == run.inputs["lr"]
    assert metadata["model_digest"] == hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    assert metadata["libraries"]["torch"] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("count", [1, 2, 77])
def test_the_model_takes_any_number_of_digits_as_pixels(bundle, count):
    session = onnxruntime.InferenceSession(bundle / "model.onnx")
    (answers,) = session.run(None, {"image": np.full((count, 1, 28, 28), 255, np.float32)})
    assert answers.shape == (count, 10)
    assert answers.sum(1) == pytest.approx(1, abs=1e-5)


def test_the_model_is_as_good_as_the_run_says(bundle, data_file):
    test = data.load(data_file).splits["test"]
    session = onnxruntime.InferenceSession(bundle / "model.onnx")
    (answers,) = session.run(None, {"image": test.images[:, None].astype(np.float32)})
    assert (answers.argmax(1) == test.labels).mean() == read_metadata(bundle)["metrics"]["test_accuracy"]


def test_it_records_what_the_model_answers_to_a_digit_of_each_class(bundle):
    recorded = json.loads((bundle / "recorded-answers.json").read_text(encoding="utf-8"))
    assert [answer["label"] for answer in recorded] == list(range(10))
    pixels = np.array([answer["pixels"] for answer in recorded], np.float32).reshape(-1, 1, 28, 28)
    (answers,) = onnxruntime.InferenceSession(bundle / "model.onnx").run(None, {"image": pixels})
    assert np.allclose(answers, [answer["probabilities"] for answer in recorded], atol=1e-6)


def test_a_model_that_answers_otherwise_than_the_trained_one_is_refused(bundle, in_workplace, trained, monkeypatch):
    before = read_metadata(bundle)
    right = bundles._export

    def wrong(model, path):
        with torch.no_grad():
            model.network.output.bias[3] += 1e-3
        right(model, path)
        with torch.no_grad():
            model.network.output.bias[3] -= 1e-3

    monkeypatch.setattr(bundles, "_export", wrong)
    with pytest.raises(UserError, match="does not answer like the trained one"):
        bundles.package(runs.find(trained))
    assert read_metadata(bundle) == before
    assert [path.name for path in bundle.parent.iterdir() if path.name.startswith(".")] == []


def test_a_model_file_that_is_damaged_or_of_another_network_is_refused(in_workplace, trained, bundle, tmp_path):
    run = runs.find(trained)
    right = run.model.read_bytes()
    try:
        run.model.write_bytes(right[:1000])
        with pytest.raises(UserError, match=r"model\.pt is not a model"):
            bundles.package(run, tmp_path / "bundle")
        torch.save({"other": torch.zeros(1)}, run.model)
        with pytest.raises(UserError, match=r"model\.pt is not a model"):
            bundles.package(run, tmp_path / "bundle")
    finally:
        run.model.write_bytes(right)
    assert not (tmp_path / "bundle").exists()


def test_other_data_than_the_runs_is_refused(in_workplace, trained, data_file, tmp_path):
    from safetensors.numpy import load_file, save_file

    origin = json.dumps(data.load(data_file).origin | {"digest": "0" * 64})
    save_file(load_file(data_file), tmp_path / "other.safetensors", metadata={"origin": origin})
    with pytest.raises(UserError, match="not the data that run"):
        bundles.package(runs.find(trained), tmp_path / "bundle", tmp_path / "other.safetensors")


def test_a_bundle_is_current_until_its_code_its_run_or_its_model_changes(in_workplace, bundle, trained, monkeypatch):
    run = runs.find(trained)
    assert bundles.is_current(run, bundle)
    assert not bundles.is_current(run, bundle.parent / "nothing")
    model = bundle / "model.onnx"
    right = model.read_bytes()
    model.write_bytes(right[:-1])
    assert not bundles.is_current(run, bundle)
    model.write_bytes(right)
    monkeypatch.setattr(bundles, "SERVED_MODULES", ("serving.py",))
    assert not bundles.is_current(run, bundle)


def test_packaging_without_data_names_the_command_that_makes_it(stage, workplace, trained, data_file):
    kept = data_file.rename(data_file.with_suffix(".kept"))
    try:
        assert "make data" in stage("package", "--run", trained, fails=True).stderr
    finally:
        kept.rename(data_file)
