"""`make upgrade`: a team takes a release and loses nothing. Real git, real cruft, releases of this very template."""

import ast
import contextlib
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import cruft
import pytest
import yaml
from conftest import TEMPLATE, typed
from releases import (
    FIRST,
    PACKAGE,
    Releases,
    append,
    call,
    commit,
    contents,
    create,
    environment,
    git,
    prepend,
    status,
    upgrade,
)

NEXT = "1.1.0"
TRAIN = "aisg-context/polyaxon/polyaxonfiles/train.yml"
HYPERBAND = "aisg-context/polyaxon/polyaxonfiles/hparam-hyperband.yml"
RUFF = Path(sys.executable).with_name("ruff")


@pytest.fixture(scope="session")
def first(tmp_path_factory) -> Releases:
    """The template with one release, 1.0.0."""
    return Releases(tmp_path_factory.mktemp("first") / "template")


@pytest.fixture(scope="session")
def made(first, tmp_path_factory) -> Path:
    """A repository made from 1.0.0 and committed; tests take copies."""
    team = create(first, tmp_path_factory.mktemp("made"))
    git(team, "init", "--quiet", "--initial-branch=main")
    commit(team, "Start from the template")
    git(team, "repack", "-adq")  # copied often
    return team


@pytest.fixture
def releases(first, tmp_path) -> Releases:
    return first.copy(tmp_path / "template")


@pytest.fixture
def team(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "team"))


def template_is(releases: Releases) -> list[object]:
    """The option that says so: the copies of `made` know the address of the template that they were copied from."""
    return ["--template", releases.folder]


def undo_command(told: str) -> str:
    return "git " + told.split("before you commit: git ")[1].splitlines()[0]


# --- a release that fits ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upgraded(first, made, tmp_path_factory):
    """A team's repository with edits of every kind, after a release with changes of every kind."""
    folder = tmp_path_factory.mktemp("upgraded")
    releases = first.copy(folder / "template")
    for path in ("Makefile", f"{PACKAGE}/training.py", TRAIN, HYPERBAND, "docker/train.Dockerfile"):
        prepend(releases.root / path, "# The release adds this line.")
    k8s = releases.root / "aisg-context/k8s"
    (k8s / "volume-owner.yml").rename(k8s / "owner-of-the-volume.yml")
    (releases.root / "docker/vscode.Dockerfile").unlink()
    (k8s / "nfs-volume.yml").unlink()
    (releases.root / "tests/test_client.py").unlink()
    (releases.root / "docs").mkdir()
    (releases.root / "docs/new.md").write_text("Region: {{ cookiecutter.backup_region }}\n")
    (releases.root / "docs/run.sh").write_text("#!/bin/sh\n")
    (releases.root / "docs/run.sh").chmod(0o755)
    picture = releases.root / "tests/images/0-test-11.png"
    shutil.copy(picture, releases.root / "tests/images/1-test-8.png")
    shutil.copy(picture, releases.root / "docs/picture.png")
    releases.ask("backup_region", "asia-southeast2")
    releases.set("gke_cluster_name", "another-cluster")
    releases.set("__made_up", "{{ cookiecutter.backup_region }}!")
    releases.release(NEXT, "- A line here and there.")

    team = Path(shutil.copytree(made, folder / "team"))
    append(team / "Makefile", "\n.PHONY: hello\nhello: ## Say hello\n\t@echo hello")
    append(team / "src/digit_reader/training.py", "\nOURS = 1")
    append(team / TRAIN, "# Ours.")
    append(team / "aisg-context/k8s/volume-owner.yml", "# Ours.")
    append(team / "docker/vscode.Dockerfile", "# Ours.")
    linked = json.loads((team / ".cruft.json").read_text())
    (team / ".cruft.json").write_text(json.dumps(linked | {"skip": ["tests/images/*"]}))  # as cruft create --skip does
    (team / "src/digit_reader/ours.py").write_text("OURS = 1\n")
    (team / "src/git.py").write_text("raise SystemExit('cruft imports another git')\n")  # make exports PYTHONPATH=src
    (team / HYPERBAND).unlink()
    project = (team / "pyproject.toml").read_text()
    (team / "pyproject.toml").write_text(project.replace("skip = []", 'skip = ["docker/train.Dockerfile"]'))
    commit(team, "Ours")
    before = contents(team)
    done = upgrade(team, *template_is(releases))
    return releases, team, before, done.stdout


def test_edits_and_the_release_are_both_in_the_files(upgraded):
    _, team, _, _ = upgraded
    for path in ("Makefile", "src/digit_reader/training.py", TRAIN):
        lines = (team / path).read_text().splitlines()
        assert lines[0] == "# The release adds this line.", path
        assert lines[-1] in ("\t@echo hello", "OURS = 1", "# Ours."), path
    assert call(team, "make", "hello").stdout == "hello\n"


def test_what_only_the_team_has_or_deleted_stays_so(upgraded):
    _, team, before, told = upgraded
    assert contents(team)["src/digit_reader/ours.py"] == before["src/digit_reader/ours.py"]
    assert not (team / HYPERBAND).exists()
    assert "stay deleted" in told and f"\n  {HYPERBAND}\n" in told


def test_edits_follow_a_renamed_file(upgraded):
    _, team, _, told = upgraded
    assert not (team / "aisg-context/k8s/volume-owner.yml").exists()
    assert (team / "aisg-context/k8s/owner-of-the-volume.yml").read_text().endswith("# Ours.\n")
    assert "aisg-context/k8s/volume-owner.yml -> aisg-context/k8s/owner-of-the-volume.yml" in told


def test_a_removed_file_goes_when_it_is_the_templates_and_unedited(upgraded):
    _, team, before, told = upgraded
    now = contents(team)
    assert "aisg-context/k8s/nfs-volume.yml" not in now
    for path in ("docker/vscode.Dockerfile", "tests/test_client.py"):  # edited; the team's
        assert now[path] == before[path]
        assert f"\n  git rm {path}\n" in told


def test_what_is_skipped_is_not_touched(upgraded):
    _, team, before, _ = upgraded
    now = contents(team)
    for path in ("docker/train.Dockerfile", "tests/images/1-test-8.png"):  # in pyproject.toml; in .cruft.json
        assert now[path] == before[path]
    assert json.loads((team / ".cruft.json").read_text())["skip"] == ["tests/images/*"]


def test_a_new_question_gets_its_default_and_is_told(upgraded):
    _, team, _, told = upgraded
    record = json.loads((team / ".template-answers.json").read_text())
    assert record["template_version"] == NEXT
    assert record["answers"]["backup_region"] == "asia-southeast2"
    assert "A new question: backup_region" in told
    assert (team / "docs/new.md").read_text() == "Region: asia-southeast2\n"
    linked = json.loads((team / ".cruft.json").read_text())["context"]["cookiecutter"]
    assert linked["__made_up"] == "asia-southeast2!" and linked["__template_version"] == NEXT


def test_a_changed_default_does_not_change_an_answer(upgraded):
    _, team, _, _ = upgraded
    assert json.loads((team / ".template-answers.json").read_text())["answers"]["gke_cluster_name"] == "ml-cluster"


def test_modes_and_pictures_arrive(upgraded):
    _, team, _, _ = upgraded
    assert (team / "docs/run.sh").stat().st_mode & stat.S_IXUSR
    assert (team / "docs/picture.png").read_bytes() == (team / "tests/images/0-test-11.png").read_bytes()


def test_the_changelog_and_the_files_are_shown_before_anything_is_written(upgraded):
    _, _, _, told = upgraded
    begin = told.index("Now it is written")
    assert -1 < told.find("From version 1.0.0 to 1.1.0") < told.find("What you must do: nothing.") < begin
    assert "The first." not in told
    for line in (
        "changed  template Makefile",
        "changed  yours    src/digit_reader/training.py",
        "new      template docs",
    ):
        assert 0 < told.find(line) < begin


def test_every_file_is_whole_afterwards(upgraded):
    _, team, _, _ = upgraded
    for path, content in contents(team).items():
        if path.endswith(".py"):
            ast.parse(content, path)
        elif path.endswith(".yml"):
            list(yaml.safe_load_all(content))
        elif path.endswith(".toml"):
            tomllib.loads(content.decode())
    call(team, RUFF, "check", "aisg-context/template")
    call(team, RUFF, "format", "--check", "aisg-context/template")


def test_a_second_run_changes_nothing_and_cruft_agrees(upgraded, tmp_path):
    _, team, _, _ = upgraded
    team = Path(shutil.copytree(team, tmp_path / "team"))
    before = contents(team)
    assert "Nothing to do" in upgrade(team).stdout  # in the files, not committed yet
    commit(team)
    head = git(team, "rev-parse", "HEAD")
    assert "Up to date: version 1.1.0" in upgrade(team).stdout
    assert (contents(team), status(team), git(team, "rev-parse", "HEAD")) == (before, "", head)
    program = Path(sys.executable).with_name("cruft")
    assert "up to date" in call(team, program, "check").stdout
    differs = {line.split("/", 1)[1] for line in call(team, program, "diff").stdout.splitlines() if line[:4] == "+++ "}
    assert differs >= {"Makefile", TRAIN, "src/digit_reader/training.py"} and "docs/new.md" not in differs


def test_the_printed_command_undoes_it(upgraded, tmp_path):
    _, team, before, told = upgraded
    team = Path(shutil.copytree(team, tmp_path / "team"))
    call(team, *shlex.split(undo_command(told)))
    assert contents(team) == before and not status(team)
    assert not (team / "docs").exists()


@pytest.fixture
def team_venv() -> str:
    """A team's working environment (make setup)."""
    if not os.environ.get("TEAM_VENV"):
        pytest.skip("NOT CHECKED: TEAM_VENV names no environment made by `make setup`")
    return os.environ["TEAM_VENV"]


@pytest.mark.slow
def test_the_teams_own_check_and_tests_pass_afterwards(upgraded, tmp_path, team_venv):
    _, team, _, _ = upgraded
    team = Path(shutil.copytree(team, tmp_path / "team"))
    call(team, "make", "check", f"VENV={team_venv}")
    call(team, "make", "test", f"VENV={team_venv}", "ARGS=tests/test_data.py tests/test_network.py tests/test_runs.py")


@pytest.mark.slow
@pytest.mark.usefixtures("team_venv")
def test_make_upgrade_makes_its_environment(upgraded, tmp_path):
    """With a real one from the package index, of the versions in pyproject.toml."""
    _, team, _, _ = upgraded
    team = Path(shutil.copytree(team, tmp_path / "team"))
    commit(team)
    assert "Up to date: version 1.1.0" in call(team, "make", "upgrade").stdout
    assert not status(team)
    wanted = tomllib.loads((team / "pyproject.toml").read_text())["dependency-groups"]["upgrade"]
    assert set(wanted) <= set(call(team, ".venv-upgrade/bin/python", "-m", "pip", "freeze").stdout.splitlines())


# --- conflicts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def conflicting(first, made, tmp_path_factory):
    """The same lines changed by both, in a file of each owner; a file that both made; one that both renamed."""
    folder = tmp_path_factory.mktemp("conflicting")
    releases = first.copy(folder / "template")
    append(releases.root / "Makefile", "# The template's line.")
    append(releases.root / f"{PACKAGE}/network.py", "# The template's line.")
    append(releases.root / "README.md", "The template's line.")
    (releases.root / "both.txt").write_text("The template's line.\n")
    k8s = releases.root / "aisg-context/k8s"
    (k8s / "volume.yml").rename(k8s / "one.yml")
    releases.release(NEXT, "- Lines.")
    team = Path(shutil.copytree(made, folder / "team"))
    append(team / "Makefile", "# Our line.")
    append(team / "src/digit_reader/network.py", "# Our line.")
    prepend(team / "README.md", "Our line.")
    (team / "both.txt").write_text("Our line.\n")
    git(team, "mv", "aisg-context/k8s/volume.yml", "aisg-context/k8s/two.yml")
    commit(team, "Ours")
    before = contents(team)
    checked = upgrade(team, *template_is(releases), "--check", code=4)
    assert contents(team) == before and not status(team)
    return team, before, checked.stdout, upgrade(team, *template_is(releases), code=4).stdout


def test_a_conflict_is_an_error_that_names_each_file_and_its_owner(conflicting):
    team, _, checked, told = conflicting
    line = 1 + (team / "Makefile").read_text().splitlines().index("<<<<<<< HEAD")
    assert f"\n  Makefile  (line {line}; a file of the template's: prefer its lines)" in told
    assert "\n  src/digit_reader/network.py  (line " in told and "a file of yours: prefer your lines" in told
    assert "CONFLICT: 5 files hold both sides" in told and "make stops with a missing separator" in told
    assert "\n  aisg-context/k8s/one.yml  (the template renamed it so, you otherwise: keep one, and git rm" in told
    assert "\n  aisg-context/k8s/two.yml  (you renamed it so, the template otherwise: keep one, and git rm" in told
    assert "changed  template Makefile  CONFLICT\n" in checked
    assert "git checkout --ours FILE (yours)" in told and "git add FILE" in told and "git commit --message" in told
    assert "conflicts with your changes in 5 of your files" in checked


def test_both_sides_are_intact(conflicting):
    team, before, _, _ = conflicting
    for path in ("Makefile", "src/digit_reader/network.py", "both.txt"):
        text = (team / path).read_text()
        ours = text.index("<<<<<<< HEAD")
        assert ours < text.index("ur line.") < text.index("=======") < text.index("The template's line."), path
        assert text.index("The template's line.") < text.index(">>>>>>> template-1.1.0"), path
        assert git(team, "show", f":2:{path}").encode() == before[path], path
        assert "The template's line." in git(team, "show", f":3:{path}"), path
    merged = (team / "README.md").read_text().splitlines()
    assert (merged[0], merged[-1]) == ("Our line.", "The template's line.")
    assert (team / "aisg-context/k8s/one.yml").exists() and (team / "aisg-context/k8s/two.yml").exists()
    assert not [path for path in team.rglob("*") if path.suffix in (".rej", ".orig")]


def test_until_it_is_resolved_nothing_else_is_done(conflicting, tmp_path):
    team, _, _, _ = conflicting
    team = Path(shutil.copytree(team, tmp_path / "team"))
    git(team, "commit", "--message", "too early", code=128)
    before = contents(team)
    told = upgrade(team, code=4).stdout
    assert "under way" in told and "Makefile" in told and "git reset --hard" in told
    assert contents(team) == before
    git(team, "checkout", "--ours", "Makefile", "both.txt")
    git(team, "checkout", "--theirs", "src/digit_reader/network.py")
    git(team, "add", "--all")
    assert "Nothing to do" in upgrade(team).stdout
    git(team, "commit", "--quiet", "--message", "resolved")
    assert "Up to date" in upgrade(team).stdout


def test_a_conflict_can_be_undone(conflicting, tmp_path):
    team, before, _, told = conflicting
    team = Path(shutil.copytree(team, tmp_path / "team"))
    call(team, *shlex.split(undo_command(told)))
    assert contents(team) == before and not status(team)


@pytest.mark.parametrize(
    ("name", "text"),
    [("Makefile", "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> template-1.0.0"), ("src/old.py.rej", "@@ -1 +1 @@")],
)
def test_what_an_earlier_merge_left_is_named(team, releases, name, text):
    append(team / name, text) if (team / name).exists() else (team / name).write_text(text)
    commit(team)
    for arguments in ([], ["--check"]):
        told = upgrade(team, *template_is(releases), *arguments, code=1).stderr
        assert f"\n  {name}\n" in told and "left from an earlier upgrade" in told


# --- how a repository begins ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("way", [by_cruft, by_cookiecutter, by_replay, over_an_existing_one])
def test_however_a_repository_began_an_upgrade_makes_it_the_new_release(releases, tmp_path, way):
    for version in (NEXT, "1.2.0"):
        for path in ("Makefile", TRAIN):
            append(releases.root / path, f"# {version}")
        releases.release(version, f"- {version}")
    (tmp_path / "made").mkdir()
    team = way(releases, tmp_path / "made")
    told = upgrade(team, *template_is(releases)).stdout
    assert ("From version 1.1.0" if way is over_an_existing_one else "From version 1.0.0") in told
    answers = json.loads((team / ".template-answers.json").read_text())["answers"]
    (tmp_path / "fresh").mkdir()
    fresh = create(releases, tmp_path / "fresh", "1.2.0", **answers)
    git(fresh, "init", "--quiet")
    assert contents(team) == contents(fresh)
    assert (team / ".cruft.json").read_bytes() == (fresh / ".cruft.json").read_bytes()
    commit(team)
    assert "Up to date" in upgrade(team).stdout  # the address is known now


def test_what_was_edited_before_the_first_commit_is_merged(releases, tmp_path):
    """git has then never seen the file as the template made it. And a folder that moves takes no file of the team's."""
    team = create(releases, tmp_path)
    append(team / "Makefile", "# Ours.")
    (team / "aisg-context/polyaxon/presets/ours.yml").write_text("ours: 1\n")
    begin(team)
    prepend(releases.root / "Makefile", "# The template's.")
    presets = releases.root / "aisg-context/polyaxon/presets"
    presets.rename(presets.with_name("defaults"))
    releases.release(NEXT, "- A line.")
    upgrade(team)
    assert (team / "aisg-context/polyaxon/presets/ours.yml").exists()
    assert (team / "aisg-context/polyaxon/defaults/gpu.yml").exists()
    lines = (team / "Makefile").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("# The template's.", "# Ours.")


def test_a_repository_made_between_two_releases(releases, tmp_path):
    """It has the version that comes, which is no release yet."""
    releases.set("__template_version", NEXT)
    append(releases.root / "Makefile", "# Not released.")
    commit(releases.folder)
    between = git(releases.folder, "rev-parse", "HEAD").strip()
    (tmp_path / "made").mkdir()
    team = plain(releases, tmp_path / "made", "--no-input")
    begin(team)
    told = upgrade(team, *template_is(releases), code=1).stderr
    assert "version 1.1.0" in told and "--made-from COMMIT" in told and not status(team)
    prepend(releases.root / "Makefile", "# Released.")
    releases.release(NEXT, "- A line.")
    upgrade(team, *template_is(releases), "--made-from", between)
    lines = (team / "Makefile").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("# Released.", "# Not released.")


def test_a_repository_without_an_address_is_told_to_say_it(team):
    git(team, "rm", "--quiet", ".cruft.json")
    commit(team)
    for arguments in ([], ["--check"]):
        assert "make upgrade TEMPLATE=https://" in upgrade(team, *arguments, code=1).stderr


def test_plain_cookiecutter_and_cruft_make_the_same_files(releases, made, tmp_path):
    team = plain(releases, tmp_path, "--no-input")
    git(team, "init", "--quiet")
    assert contents(team) == contents(made)


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [("No", "Yes"), ("Yes", "No")])
def test_an_answer_changes_and_edits_stay(first, tmp_path, before, after):
    team = create(first, tmp_path, gcr_personal_subdir=before)
    append(team / "Makefile", "# Ours.")
    append(team / "pyproject.toml", "# Ours.")
    begin(team)
    told = upgrade(team, "--answers", f"gcr_personal_subdir={after}").stdout
    assert f"gcr_personal_subdir was {before!r} and becomes {after!r}" in told
    (tmp_path / "fresh").mkdir()
    fresh = create(first, tmp_path / "fresh", gcr_personal_subdir=after)
    append(fresh / "Makefile", "# Ours.")
    append(fresh / "pyproject.toml", "# Ours.")
    git(fresh, "init", "--quiet")
    assert contents(team) == contents(fresh)


def test_names_made_from_an_answer_change_and_edits_follow(first, team):
    append(team / "digit-reader-conda-env.yml", "# Ours.")
    append(team / "src/digit_reader/network.py", "# Ours.")
    commit(team)
    upgrade(team, "--answers", "repo_name=numbers src_package_name=numbers_model ci_provider='GitLab CI'")
    now = contents(team)
    assert now["numbers-conda-env.yml"].endswith(b"# Ours.\n")
    assert now["src/numbers_model/network.py"].endswith(b"# Ours.\n")
    assert ".gitlab-ci.yml" in now and ".github/workflows/ci.yml" not in now
    assert not [name for name in now if "digit-reader" in name or "digit_reader" in name]
    assert not (team / ".github").exists()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ("ci_provider=Jenkins", ["ci_provider is 'Jenkins'", "ANSWERS=\"ci_provider='GitLab CI'\""]),
        ("gcp_projectid=x", ["no question gcp_projectid", "Did you mean gcp_project_id?"]),
        ("__image_prefix=x", ["no question __image_prefix"]),
        ("Yes", ["no NAME=VALUE"]),
        ("author_name='x", ["ANSWERS cannot be read"]),
        ("gke_zone=moon", ['gke_zone: "moon"', "rule:  a zone such as", "Nothing was changed"]),
    ],
)
def test_a_wrong_answer_is_told_and_nothing_changes(team, answers, told):
    error = upgrade(team, "--answers", answers, code=1).stderr
    assert all(part in error for part in told), error
    assert not status(team)


HOSTILE = "7*7 is {{ 7*7 }}, {% if {# \"it's\" \\ 😀 {{ '}}"


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


def test_an_answer_that_is_no_choice_any_more(team, releases):
    releases.set("ci_provider", ["GitLab CI", "None"])
    releases.release(NEXT, "- GitHub Actions goes.")
    told = upgrade(team, *template_is(releases), code=1).stderr
    assert "ci_provider is 'GitHub Actions'" in told and "ANSWERS=\"ci_provider='None'\"" in told and not status(team)


def test_a_persons_own_settings_of_cookiecutter_answer_nothing(releases, team, tmp_path):
    releases.ask("backup_region", "asia-southeast2")
    releases.release(NEXT, "- A question.")
    config = tmp_path / "mine.yaml"
    config.write_text("default_context:\n  backup_region: mine\n  author_name: me\n")
    upgrade(team, *template_is(releases), env={"COOKIECUTTER_CONFIG": str(config)})
    answers = json.loads((team / ".template-answers.json").read_text())["answers"]
    assert (answers["backup_region"], answers["author_name"]) == ("asia-southeast2", "your-team")


OWN_SETTINGS = """
[color]
	ui = always
[commit]
	gpgSign = true
[core]
	autocrlf = true
[merge]
	conflictStyle = diff3
	verifySignatures = true
[safe]
	bareRepository = explicit
[status]
	showUntrackedFiles = no
"""


def test_a_persons_own_settings_of_git_change_nothing(team, releases, tmp_path):
    own = tmp_path / "gitconfig"
    own.write_text(OWN_SETTINGS)
    for path in ("Makefile", "README.md", f"{PACKAGE}/network.py"):
        append(releases.root / path, "# The template's.")
    releases.release(NEXT, "- A line.")
    prepend(team / "README.md", "Ours.")
    append(team / "Makefile", "# Ours.")
    commit(team)
    other = Path(shutil.copytree(team, tmp_path / "other"))
    (team / "new.py").write_text("")
    assert "new.py" in upgrade(team, env={"GIT_CONFIG_GLOBAL": str(own)}, code=1).stderr
    (team / "new.py").unlink()
    told = upgrade(team, *template_is(releases), code=4, env={"GIT_CONFIG_GLOBAL": str(own)}).stdout
    assert told == upgrade(other, *template_is(releases), code=4).stdout
    assert git(team, "ls-files", "--stage") == git(other, "ls-files", "--stage")
    assert (team / "Makefile").read_bytes().replace(b"\r\n", b"\n") == (other / "Makefile").read_bytes()
    (other / "left.py").write_text("<<<<<<< HEAD\n=======\n>>>>>>> template-1.0.0\n")
    git(other, "reset", "--quiet", "--hard")
    git(other, "add", "left.py")
    git(other, "commit", "--quiet", "--message", "left")
    assert "\n  left.py\n" in upgrade(other, code=1, env={"GIT_CONFIG_GLOBAL": str(own)}).stderr


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["edited", "staged", "new", "deleted"])
def test_changes_that_are_not_committed_are_refused(team, what):
    match what:
        case "edited":
            append(team / "Makefile", "# Ours.")
        case "staged":
            append(team / "Makefile", "# Ours.")
            git(team, "add", "Makefile")
        case "new":
            (team / "new.py").write_text("")
        case "deleted":
            (team / "README.md").unlink()
    before = status(team)
    told = upgrade(team, code=1).stderr
    assert "not committed" in told and before.split()[-1] in told and "git stash" in told
    assert status(team) == before


def test_a_folder_that_is_no_repository_or_has_no_commit(team, tmp_path):
    shutil.rmtree(team / ".git")
    told = upgrade(team, code=1).stderr
    assert "no git repository" in told and "git init && git add --all && git commit" in told
    git(team, "init", "--quiet")
    assert "no commit yet" in upgrade(team, code=1).stderr
    git(tmp_path, "init", "--quiet")
    shutil.rmtree(team / ".git")
    assert f"at the top of a git repository, and that is {tmp_path}" in upgrade(team, code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--template", "/nowhere/at-all"], ["cannot be read from /nowhere/at-all", "TEMPLATE=/folder"]),
        (["--template", "https://127.0.0.1:9/template.git"], ["cannot be read from https://127.0.0.1:9", "TEMPLATE="]),
        (["--template", "https://me@127.0.0.1/x"], ["would be committed", "gitcredentials"]),
        (["--version", "9.9.9"], ["no release 9.9.9 (tag v9.9.9)", "Its releases are 1.0.0."]),
        (["--made-from", "no-such-commit"], ["no commit no-such-commit"]),
    ],
)
def test_a_template_that_cannot_be_read_is_told(team, arguments, told):
    done = upgrade(team, *arguments, code=1)
    assert all(part in done.stderr for part in told), done.stderr
    assert "secret" not in done.stderr + done.stdout and not status(team)


def test_a_template_without_a_release_is_told(team, releases):
    git(releases.folder, "tag", "--delete", f"v{FIRST}")
    assert "has no release: no tag like v1.2.3" in upgrade(team, *template_is(releases), code=1).stderr


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"template_version": "x", "answers": {}}', None])
def test_a_record_that_says_nothing_is_told(team, text):
    (team / ".template-answers.json").write_text(text) if text else (team / ".template-answers.json").unlink()
    commit(team)
    told = upgrade(team, code=1).stderr
    assert ".template-answers.json" in told and "git log --oneline -- .template-answers.json" in told


def test_an_ignored_file_is_not_written_over(team, releases):
    (releases.root / "notes").mkdir()
    (releases.root / "notes/new.md").write_text("The template's.\n")
    (releases.root / "scratch").mkdir()
    (releases.root / "scratch/new.md").write_text("The template's.\n")
    releases.release(NEXT, "- Files in folders that the team ignores.")
    append(team / ".gitignore", "/notes/\n/scratch")
    commit(team)
    (team / "notes").mkdir()
    (team / "notes/new.md").write_text("Ours, and ignored.\n")
    (team / "scratch").write_text("Ours, and ignored.\n")  # a file where the template has a folder
    told = upgrade(team, *template_is(releases), code=1).stderr
    assert "\n  notes/new.md\n  scratch\n" in told and "Move these away" in told
    assert (team / "notes/new.md").read_text() == (team / "scratch").read_text() == "Ours, and ignored.\n"
    assert not status(team)


# --- upgrade-check, make, and being stopped ---------------------------------------------------------------------------


def test_the_check_says_whether_a_newer_release_fits_and_changes_nothing(team, releases, tmp_path):
    assert "Up to date" in upgrade(team, "--check").stdout
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    releases.release("1.10.0", "- Nothing.")
    git(releases.folder, "tag", "v2.0.0rc1")
    append(team / "README.md", "Ours.")  # the check reads the last commit
    before = status(team)
    told = upgrade(team, "--check", *template_is(releases), code=3).stdout
    assert "1.10.0 is newer, and fits" in told and "changed  template Makefile" in told and "## 1.1.0" in told
    assert status(team) == before
    shallow = tmp_path / "shallow"  # as CI checks out
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{team}", shallow)
    assert upgrade(shallow, "--check", *template_is(releases), code=3).stdout == told


@pytest.fixture
def scheduled(team, tmp_path):
    """What CI runs by the clock, with an environment that is there, on GitHub or on GitLab."""
    venv = venv_like_ours(tmp_path / "venv")

    def run(code: int, **variables: str) -> str:
        command = ["sh", "aisg-context/template/scheduled_check.sh"]
        env = environment(UPGRADE_VENV=str(venv), GITHUB_ACTIONS="", TEMPLATE="") | variables
        done = subprocess.run(command, cwd=team, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_scheduled_check_warns_of_what_fits_and_fails_for_what_conflicts(team, releases, scheduled):
    link = json.loads((team / ".cruft.json").read_text())
    (team / ".cruft.json").write_text(json.dumps(link | {"template": str(releases.folder)}))
    commit(team)
    assert "Up to date" in scheduled(0, TEMPLATE="not needed any more")
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    assert "1.1.0 is newer, and fits" in scheduled(3)  # a warning by the pipeline's own rule
    pipeline = yaml.safe_load(next(releases.root.glob("*gitlab-ci.yml*")).read_text())
    assert pipeline["upgrade-check"]["allow_failure"] == {"exit_codes": 3}
    assert "\n::warning title=" in scheduled(0, GITHUB_ACTIONS="true")
    append(team / "Makefile", "# Our line.")
    commit(team)
    assert "conflicts with your changes in 1 of your files" in scheduled(4)
    assert "\n::error title=" in scheduled(4, GITHUB_ACTIONS="true")


def test_the_scheduled_check_says_what_it_needs_and_passes_where_the_template_is_not_known(team, releases, scheduled):
    (team / ".cruft.json").unlink()
    commit(team)
    assert "fits without a conflict" in scheduled(3, TEMPLATE=str(releases.folder))
    scheduled(1, TEMPLATE=str(team / "nowhere"))
    assert "NOT CHECKED: The template's address is not known" in scheduled(0)
    assert scheduled(0, GITHUB_ACTIONS="true").startswith("::notice title=NOT CHECKED::")


def test_help_documents_the_exit_codes(team):
    told = upgrade(team, "--help").stdout
    assert "Exit codes" in told and all(f"\n    {code} " in told for code in (0, 1, 2, 3, 4, 130))
    assert upgrade(team, "--no-such-option", code=2).stderr


def venv_like_ours(venv: Path) -> Path:
    """An environment as `make upgrade` makes it, whose Python is the one of these tests."""
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (venv / "bin/python").chmod(0o755)
    (venv / ".installed").touch()
    return venv


def test_in_the_middle_of_a_merge_it_waits(team, releases):
    """Also when the merge changes nothing and the tree looks clean: the upgrade would be committed as the merge."""
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    git(team, "checkout", "--quiet", "-b", "other")
    append(team / "README.md", "theirs")
    commit(team)
    git(team, "checkout", "--quiet", "-")
    append(team / "README.md", "ours")
    commit(team)
    git(team, "merge", "--quiet", "--no-commit", "--strategy=ours", "other")
    assert not status(team)
    before = contents(team)
    told = upgrade(team, *template_is(releases), code=1).stderr
    assert "A merge is under way" in told and "git merge --continue" in told
    assert contents(team) == before


def test_make_hands_everything_on(team, releases, tmp_path):
    """With an environment that is there; that `make upgrade` makes one is left to .ci/run."""
    venv = venv_like_ours(tmp_path / "venv")
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    releases.release("1.2.0", "- Nothing.")
    given = [f"UPGRADE_VENV={venv}", f"TEMPLATE={releases.folder}", f"VERSION={NEXT}"]
    done = call(team, "make", "upgrade-check", *given, code=2)
    assert "1.1.0 is newer, and fits" in done.stdout and "Error 3" in done.stderr
    call(team, "make", "upgrade", *given, """ANSWERS=author_name="it's us" project_name='A "B"'""")
    answers = json.loads((team / ".template-answers.json").read_text())["answers"]
    assert (answers["author_name"], answers["project_name"]) == ("it's us", 'A "B"')


def start(team: Path, *arguments: object, **env: str) -> subprocess.Popen:
    command = [sys.executable, "aisg-context/template/upgrade.py", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=team, env=environment(**env), stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_before_it_writes_it_leaves_everything_as_it_was(team, releases, tmp_path, number):
    """The release's hook says that rendering has begun, and waits to be stopped."""
    begun = tmp_path / "begun"
    hook = f"open({str(begun)!r}, 'w').close()\nimport time\ntime.sleep(60)\n"
    (releases.folder / "hooks/post_gen_project.py").write_text(hook)
    releases.release(NEXT, "- A hook that takes long.")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start(team, *template_is(releases), TMPDIR=str(temporary))
    for _ in range(300):
        if begun.exists():
            break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # Ctrl-C reaches the whole group
    try:
        _, told = process.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):  # as it should be: nobody of the group is left
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130 and "nothing was changed" in told
    assert not status(team)
    assert not [path for path in temporary.iterdir() if path.name.startswith("upgrade-")]


def test_killed_while_it_writes_the_printed_command_brings_everything_back(team, releases, tmp_path):
    """A git that kills its caller when the files are being written, half-way."""
    for name in ("a.txt", "b.txt"):
        (releases.root / name).write_text("new\n")
    append(releases.root / "Makefile", "# A line.")
    (releases.root / "docker/train.Dockerfile").unlink()
    releases.release(NEXT, "- Files.")
    before, real = contents(team), shutil.which("git")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/git"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = checkout-index ] && {{ {real} checkout-index --force a.txt; kill -9 $PPID; exit 1; }}\n'
        f'exec {real} "$@"\n'
    )
    fake.chmod(0o755)
    process = start(team, *template_is(releases), PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", TMPDIR=str(tmp_path))
    told, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert (team / "a.txt").exists() and status(team)
    call(team, *shlex.split(undo_command(told)))
    assert contents(team) == before and not status(team)


# --- ownership --------------------------------------------------------------------------------------------------------


def test_every_pattern_of_ownership_names_something_and_the_record_is_the_templates(made):
    patterns = tomllib.loads((made / "pyproject.toml").read_text())["tool"]["upgrade"]["team"]
    files = list(contents(made))
    for pattern in patterns:
        assert [name for name in files if fnmatchcase(name, pattern)], pattern
    templates = {name for name in files if not any(fnmatchcase(name, pattern) for pattern in patterns)}
    assert {"Makefile", ".template-answers.json", ".github/workflows/ci.yml"} <= templates
    assert "[tool.upgrade]" in (made / "README.md").read_text()


def test_cruft_is_pinned_once_for_a_team_and_tested_in_that_version(made):
    groups = tomllib.loads((made / "pyproject.toml").read_text())["dependency-groups"]
    ours = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["dependency-groups"]
    assert set(groups["upgrade"]) <= {*ours["new"], *(item for item in ours["test"] if isinstance(item, str))}
