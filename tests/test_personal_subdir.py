"""gcr_personal_subdir changes the names of images and of the deployment, and nothing else."""

import json
import tomllib

import pytest
import yaml
from conftest import TEMPLATE, context_of

ANSWERS = {"author_name": "jane_doe", "gcp_project_id": "example.com:my-project", "gke_zone": "europe-west1-b"}
RECORD = ".template-answers.json"


def leaves(value, path=()):
    """Every scalar of a parsed file with the way to it."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for place, inner in enumerate(value) for leaf in leaves(inner, (*path, place))]
    return [(path, value)]


def parsed(name, text):
    """The scalars of TOML, YAML and JSON; the lines of everything else."""
    if name.endswith(".toml"):
        return leaves(tomllib.loads(text))
    if name.endswith((".yml", ".yaml", ".json")):
        return leaves(list(yaml.safe_load_all(text)))
    return list(enumerate(text.splitlines()))


@pytest.fixture(scope="module")
def both(make_repository):
    """For No and Yes: the context, and the text of every file."""
    made = {}
    for choice in ("No", "Yes"):
        answers = ANSWERS | {"gcr_personal_subdir": choice}
        root = make_repository(**answers)
        files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        made[choice] = context_of(**answers), files
    return made


def test_both_have_the_same_files(both):
    assert both["No"][1].keys() == both["Yes"][1].keys()


def test_what_differs_is_an_image_or_a_deployment(both):
    (no, no_files), (yes, yes_files) = both["No"], both["Yes"]
    changed = [name for name in no_files if no_files[name] != yes_files[name] and name != RECORD]
    for name in changed:
        before, after = (parsed(name, files[name].decode()) for files in (no_files, yes_files))
        assert len(before) == len(after), name
        for (place, old), (other_place, new) in zip(before, after, strict=True):
            assert place == other_place
            if old != new:
                for variable in ("__image_prefix", "__deployment_name"):
                    new = new.replace(yes[variable], no[variable])  # noqa: PLW2901
                assert new == old, f"{name}: {place}"


def test_the_record_of_the_answers_differs_in_the_answer(both):
    before, after = (json.loads(files[RECORD]) for _, files in both.values())
    assert after["answers"].pop("gcr_personal_subdir") == "Yes"
    assert before["answers"].pop("gcr_personal_subdir") == "No"
    assert before == after


@pytest.mark.parametrize("choice", ["No", "Yes"])
def test_every_image_in_the_registry_begins_with_the_prefix(both, choice):
    context, files = both[choice]
    host = context["__image_prefix"].split("/")[0]
    for name, content in files.items():
        for image in content.decode(errors="replace").split(f"{host}/")[1:]:
            assert f"{host}/{image}".startswith(context["__image_prefix"]), f"{name}: {host}/{image[:80]}"


def test_the_prefix_is_computed_in_one_place():
    """Registry hosts by zone, and the choice of the folder, are read where the prefix is made and in the rules."""
    sources = [TEMPLATE / "cookiecutter.json"]
    sources += [path for path in (TEMPLATE / "{{cookiecutter.repo_name}}").rglob("*") if path.is_file()]
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in sources}
    assert [path.name for path, text in texts.items() if "cookiecutter._registry_hosts" in text] == [
        "cookiecutter.json"
    ]
    assert texts[sources[0]].count("cookiecutter._registry_hosts") == 1
    assert [path.name for path, text in texts.items() if "cookiecutter.gcr_personal_subdir" in text] == [
        "cookiecutter.json"
    ]
