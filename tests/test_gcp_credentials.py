"""gcp_credentials: with Workload Identity there is no key anywhere; with key files each is where it is used."""

import re
from pathlib import Path

import pytest
import yaml

KEYS = (
    "gcp-imagepullsecrets",
    "gcp-imagepushsecrets",
    "gcp-sa-credentials",
    "SA_CRED_PATH",
    "GOOGLE_APPLICATION_CREDENTIALS",
)
WITH_BUCKET = {"train.yml", "vscode-service.yml", "jupyter-service.yml"}


@pytest.fixture(scope="module")
def no_key(make_repository) -> Path:
    return make_repository(gcp_credentials="Workload Identity")


@pytest.fixture(scope="module")
def key(make_repository) -> Path:
    return make_repository(gcp_credentials="Key file")


def manifests(repository: Path) -> dict[str, str]:
    """The text of each of the platform's files, and of pyproject.toml."""
    files = [*(repository / "aisg-context").rglob("*.yml"), repository / "pyproject.toml"]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def test_without_a_key_no_file_names_one_and_the_account_that_pushes_is_google_clouds(no_key):
    for name, text in manifests(no_key).items():
        assert not [word for word in KEYS if word in text], name
    accounts = yaml.safe_load_all(manifests(no_key)["model-packager.yml"])
    told = {item["metadata"]["name"]: item["metadata"].get("annotations") for item in accounts}
    assert told["model-pusher"] == {
        "iam.gke.io/gcp-service-account": "model-pusher@my-gcp-project.iam.gserviceaccount.com"
    }
    assert told["model-deployer"] is None and told["model-packager"] is None


def test_each_key_is_where_it_is_used_and_nowhere_else(key):
    found = manifests(key)
    said = {word: {name for name, text in found.items() if word in text} for word in KEYS}
    assert said["gcp-sa-credentials"] == WITH_BUCKET | {"pyproject.toml"}
    assert said["SA_CRED_PATH"] == said["GOOGLE_APPLICATION_CREDENTIALS"] == WITH_BUCKET
    assert said["gcp-imagepushsecrets"] == {"package-model.yml", "pyproject.toml"}
    pods = {name for name, text in found.items() if re.search(r"image: asia.gcr.io/", text)} - {"package-model.yml"}
    assert len(pods) > 8 and pods <= said["gcp-imagepullsecrets"]  # the workflow's accounts carry it


def test_the_choice_changes_no_other_file(no_key, key):
    assert manifests(no_key).keys() == manifests(key).keys()
    changed = {
        str(path.relative_to(key))
        for path in key.rglob("*")
        if path.is_file() and path.read_bytes() != (no_key / path.relative_to(key)).read_bytes()
    }
    rest = {path for path in changed if not path.startswith("aisg-context/")}
    assert rest == {".template-answers.json", ".github/workflows/ci.yml", "pyproject.toml"}
