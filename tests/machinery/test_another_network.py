"""The pipeline serves the model of the current code and schema; what cannot change a model repeats nothing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from mlops import runs

SPOILED = {"RANK": "1", "WORLD_SIZE": "2", "MODEL_DIR": "/nowhere", "GUNICORN_WORKERS": "none"}


@pytest.fixture
def repository(workplace, data_file, team, tmp_path, monkeypatch) -> Path:
    """A copy of the repository with the digits prepared; trained for one epoch, to be quick."""
    folder = tmp_path / "repository"
    shutil.copytree(team.package.parent, folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("serving-requirements.txt", "serving.env", "pyproject.toml", "tests"):
        (folder / name).symlink_to(team.package.parents[1] / name)
    shutil.copytree(workplace / "data", folder / "data")
    shutil.copy(workplace / "schema.toml", folder)
    change(folder / "src" / team.package.name / "model.py", "EPOCHS = 5", "EPOCHS = 1")
    monkeypatch.setenv("MLOPS_OUTPUTS", str(folder / "outputs"))
    return folder


@pytest.fixture
def typed(repository, command, environment):
    """Type a stage in that repository; gives what it said."""

    def run(*words: str, fails: bool = False, **variables: str) -> str:
        around = environment | {"PYTHONPATH": str(repository / "src")} | variables
        done = subprocess.run(
            [*command, *words], cwd=repository, env=around, capture_output=True, text=True, timeout=300, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return run


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def answering(said: str) -> str:
    """The run that answered in a pipeline."""
    return re.search(r"answered by run (\w+)", said)[1]


def test_the_pipeline_serves_the_model_of_the_code_and_the_schema_of_now(typed, repository, team, serving_python):
    network = repository / "src" / team.package.name / "model.py"

    first = answering(typed("pipeline", **SPOILED))
    assert [run.uuid for run in runs.recorded()] == [first]

    change(network, "class Network(nn.Module):", "# The network that we have\nclass Network(nn.Module):")
    again = typed("pipeline")
    assert "train    up to date" in again and answering(again) == first

    change(network, "left[1], 50)", "left[1], 64)")
    change(network, "nn.Linear(50, ", "nn.Linear(64, ")
    told = typed("best").splitlines()
    assert told[1].startswith("not compared: of other data or other code") and told[2].startswith(first[:12])
    assert told[-1] == "no run of the data and the code of now: make train"
    assert "No run" in typed("best", "--id", fails=True)
    bundle = (repository / "build/bundle/metadata.json").read_bytes()
    assert "make train" in typed("package", fails=True)
    refused = typed("package", "--run", first, fails=True)
    assert "is not a model of the network in model.py" in refused and "size mismatch for hidden.weight" in refused
    assert (repository / "build/bundle/metadata.json").read_bytes() == bundle

    second = answering(typed("pipeline"))
    assert second != first
    told = typed("best").splitlines()
    assert told[1].startswith(second[:12]) and told[3].startswith(first[:12])

    change(repository / "schema.toml", "high = 255", "high = 300")
    told = typed("pipeline")
    assert re.search(r"data     data/processed/dataset.safetensors: 3500 train", told)
    third = answering(told)
    assert third not in (first, second)
    assert typed("best", "--id").strip() == third
    assert "make data" not in typed("best")
    refused = typed("package", "--run", second, fails=True)
    assert "is not the data that run" in refused


def test_a_run_of_other_code_whose_weights_fit_is_packaged_by_name_and_it_is_said(typed, repository, team):
    typed("train", "--train-steps", "20")
    (run,) = runs.recorded()
    training = repository / "src" / team.package.name / "training.py"
    change(training, "WARM_UP = 0.21", "WARM_UP = 0.3")
    told = typed("package", "--run", run.uuid)
    assert f"Run {run.uuid} was trained by other code than data.py, model.py, training.py are now" in told
    assert "src/mlops" not in told
    change(training, "WARM_UP = 0.3", "WARM_UP = 0.21  # as it was")
    change(repository / "src/mlops/runs.py", "PAGE = 100", "PAGE = 99")
    told = typed("package")
    assert f"Run {run.uuid} was trained by another version of src/mlops" in told
    assert "other code" not in told
