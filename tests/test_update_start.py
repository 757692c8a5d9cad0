"""`make upgrade` of a repository however it began and whatever answers it was made with: it becomes the new release."""

import json
import shutil
import sys
import tomllib
from pathlib import Path

import cruft
import pytest
from conftest import typed
from releases import (
    FIRST,
    Releases,
    append,
    call,
    commit,
    contents,
    create,
    git,
    slow,
    status,
    upgrade,
)

NEXT = "1.1.0"
TRAIN = "aisg-context/polyaxon/polyaxonfiles/train.yml"
HOSTILE = "7*7 is {{ 7*7 }}, {% if {# \"it's\" \\ 😀 {{ '}}"


@pytest.fixture
def releases(first, tmp_path) -> Releases:
    return first.copy(tmp_path / "template")


@pytest.fixture
def team(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "team"))


def plain(releases: Releases, output: Path, *arguments: str, code: int | None = 0) -> Path:
    """Plain cookiecutter, from a clone as it stands."""
    config = output / "config.yaml"
    config.write_text(f"cookiecutters_dir: {output}\nreplay_dir: {output / 'replay'}\n")
    program = Path(sys.executable).with_name("cookiecutter")
    call(output, program, "--config-file", config, "--output-dir", output, *arguments, releases.folder, code=code)
    return output / "digit-reader"


def begin(team: Path) -> None:
    git(team, "init", "--quiet")
    commit(team)


def by_cruft(releases, output):
    team = create(releases, output, gke_zone="europe-west1-b")
    begin(team)
    return team


def by_cookiecutter(releases, output):
    call(releases.folder, "git", "checkout", "--quiet", f"v{FIRST}")
    team = plain(releases, output, "--no-input")
    begin(team)
    return team


def by_replay(releases, output):
    call(releases.folder, "git", "checkout", "--quiet", f"v{FIRST}")
    team = plain(releases, output, "--no-input")
    shutil.rmtree(team)
    team = plain(releases, output, "--replay")
    begin(team)
    return team


def over_an_existing_one(releases, output):
    """cruft made it from 1.0.0, plain cookiecutter wrote 1.1.0 over it: .cruft.json is of another version."""
    team = create(releases, output)
    begin(team)
    call(releases.folder, "git", "checkout", "--quiet", f"v{NEXT}")
    plain(releases, output, "--no-input", "--overwrite-if-exists")
    commit(team)
    return team


@pytest.mark.parametrize("way", slow(by_cruft, by_cookiecutter, by_replay, over_an_existing_one))
def test_however_a_repository_began_an_upgrade_makes_it_the_new_release(releases, tmp_path, way):
    for version in (NEXT, "1.2.0"):
        for path in ("Makefile", TRAIN):
            append(releases.root / path, f"# {version}")
        releases.release(version, f"- {version}")
    (tmp_path / "made").mkdir()
    team = way(releases, tmp_path / "made")
    told = upgrade(team, "--template", releases.folder).stdout
    assert ("From version 1.1.0" if way is over_an_existing_one else "From version 1.0.0") in told
    answers = json.loads((team / ".template-answers.json").read_text())["answers"]
    (tmp_path / "fresh").mkdir()
    fresh = create(releases, tmp_path / "fresh", "1.2.0", **answers)
    git(fresh, "init", "--quiet")
    assert contents(team) == contents(fresh)
    if (team / ".cruft.json").exists():  # a folder is recorded only where cruft has done it
        assert (team / ".cruft.json").read_bytes() == (fresh / ".cruft.json").read_bytes()
    assert (team / ".cruft.json").exists() == (way in (by_cruft, over_an_existing_one))
    commit(team)
    assert "Up to date" in upgrade(team, "--template", releases.folder).stdout


@pytest.mark.slow
def test_an_answer_changes_and_edits_stay(first, tmp_path):
    team = create(first, tmp_path, gcr_personal_subdir="No")
    append(team / "Makefile", "# Ours.")
    append(team / "pyproject.toml", "# Ours.")
    begin(team)
    told = upgrade(team, "--answers", "gcr_personal_subdir=Yes").stdout
    assert "\n  - gcr_personal_subdir: 'No'\n  + gcr_personal_subdir: 'Yes'\n" in told
    (tmp_path / "fresh").mkdir()
    fresh = create(first, tmp_path / "fresh", gcr_personal_subdir="Yes")
    append(fresh / "Makefile", "# Ours.")
    append(fresh / "pyproject.toml", "# Ours.")
    git(fresh, "init", "--quiet")
    assert contents(team) == contents(fresh)


def test_names_made_from_an_answer_change_and_edits_follow(first, team):
    append(team / "digit-reader-conda-env.yml", "# Ours.")
    append(team / "src/digit_reader/model.py", "# Ours.")
    commit(team)
    upgrade(team, "--answers", "repo_name=numbers src_package_name=numbers_model ci_provider='GitLab CI'")
    now = contents(team)
    assert now["numbers-conda-env.yml"].endswith(b"# Ours.\n")
    assert now["src/numbers_model/model.py"].endswith(b"# Ours.\n")
    assert ".gitlab-ci.yml" in now and ".github/workflows/ci.yml" not in now
    assert not [name for name in now if "digit-reader" in name or "digit_reader" in name]
    assert not (team / ".github").exists()


def test_an_answer_that_looks_like_a_template_is_kept(releases, tmp_path):
    """As typed at a prompt; cruft renders the answers it has stored."""
    with typed({"description": HOSTILE}):
        cruft.create(str(releases.folder), tmp_path, no_input=False, default_config=True)
    team = tmp_path / "digit-reader"
    begin(team)
    description = tomllib.loads((team / "pyproject.toml").read_text())["project"]["description"]
    assert description == HOSTILE
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    told = upgrade(team).stdout
    assert status(team).split() == ["M", ".cruft.json", "M", ".template-answers.json", "M", "Makefile"], told
    for name, keys in ((".template-answers.json", ["answers"]), (".cruft.json", ["context", "cookiecutter"])):
        content = json.loads((team / name).read_text())
        for key in keys:
            content = content[key]
        assert content["description"] == HOSTILE
