"""`make upgrade` of releases of this very template: what a team has, and what it gets. Real git, real cookiecutter.

What is refused, merged or interrupted is in the other files of this name, with a smaller template.
"""

import ast
import json
import os
import shutil
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
    slow,
    status,
    undo_command,
    upgrade,
    venv_like_ours,
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


def pins(file: Path) -> set[str]:
    return {line for line in file.read_text().splitlines() if "==" in line}


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
    (releases.root / "tests/test_data.py").unlink()
    (releases.root / "docs").mkdir()
    (releases.root / "docs/new.md").write_text("Region: {{ cookiecutter.backup_region }}\n")
    (releases.root / "docs/run.sh").write_text("#!/bin/sh\n")
    (releases.root / "docs/run.sh").chmod(0o755)
    of_images = "{{% if cookiecutter.example == 'images' %}}{}{{% endif %}}".format
    picture = releases.root / "tests/images" / of_images("0-test-11.png")
    shutil.copy(picture, releases.root / "tests/images" / of_images("1-test-8.png"))
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
    linked |= {"skip": ["tests/images/*"], "template": str(releases.folder)}  # as cruft create --skip does
    (team / ".cruft.json").write_text(json.dumps(linked))
    (team / "src/digit_reader/ours.py").write_text("OURS = 1\n")
    (team / "src/jinja2.py").write_text(
        "raise SystemExit('cookiecutter imports another one')\n"
    )  # make exports PYTHONPATH=src
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
    assert "aisg-context/k8s/{volume-owner.yml => owner-of-the-volume.yml}" in told


def test_a_removed_file_goes_when_it_is_the_templates_and_unedited(upgraded):
    _, team, before, told = upgraded
    now = contents(team)
    assert "aisg-context/k8s/nfs-volume.yml" not in now
    for path in ("docker/vscode.Dockerfile", "tests/test_data.py"):  # edited; the team's
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
    assert "\n  + backup_region: 'asia-southeast2'\n" in told
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
    for name in ("Makefile", "src/digit_reader/training.py", "docs/new.md (new)", "docs/run.sh (new +x)"):
        assert 0 < told.find(f"\n   {name} ") < begin


def test_every_file_is_whole_afterwards(upgraded):
    _, team, _, _ = upgraded
    for path, content in contents(team).items():
        if path.endswith(".py"):
            ast.parse(content, path)
        elif path.endswith(".yml"):
            list(yaml.safe_load_all(content))
        elif path.endswith(".toml"):
            tomllib.loads(content.decode())
    call(team, RUFF, "check", "src/mlops/upgrade")
    call(team, RUFF, "format", "--check", "src/mlops/upgrade")


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
    call(team, *undo_command(told))
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
    (team / "src/jinja2.py").unlink()  # there so that the upgrade's own environment would have to import it
    call(team, "make", "check", f"VENV={team_venv}")
    call(team, "make", "test", f"VENV={team_venv}", "ARGS=tests/test_data.py tests/test_model.py")


@pytest.mark.slow
@pytest.mark.usefixtures("team_venv")
def test_make_upgrade_makes_its_environment(upgraded, tmp_path):
    """With a real one from the package index, of the versions in pyproject.toml."""
    _, team, _, _ = upgraded
    team = Path(shutil.copytree(team, tmp_path / "team"))
    commit(team)
    assert "Up to date: version 1.1.0" in call(team, "make", "upgrade").stdout
    assert not status(team)
    wanted = pins(team / "src/mlops/upgrade/requirements.txt")
    assert wanted <= set(call(team, ".venv-upgrade/bin/python", "-m", "pip", "freeze").stdout.splitlines())


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


@pytest.mark.parametrize("way", slow(by_cruft, by_cookiecutter, by_replay, over_an_existing_one))
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
    if (team / ".cruft.json").exists():  # a folder is recorded only where cruft has done it
        assert (team / ".cruft.json").read_bytes() == (fresh / ".cruft.json").read_bytes()
    assert (team / ".cruft.json").exists() == (way in (by_cruft, over_an_existing_one))
    commit(team)
    assert "Up to date" in upgrade(team, *template_is(releases)).stdout


def test_plain_cookiecutter_and_cruft_make_the_same_files(releases, made, tmp_path):
    team = plain(releases, tmp_path, "--no-input")
    git(team, "init", "--quiet")
    assert contents(team) == contents(made)


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), slow(("No", "Yes"), ("Yes", "No")))
def test_an_answer_changes_and_edits_stay(first, tmp_path, before, after):
    team = create(first, tmp_path, gcr_personal_subdir=before)
    append(team / "Makefile", "# Ours.")
    append(team / "pyproject.toml", "# Ours.")
    begin(team)
    told = upgrade(team, "--answers", f"gcr_personal_subdir={after}").stdout
    assert f"\n  - gcr_personal_subdir: {before!r}\n  + gcr_personal_subdir: {after!r}\n" in told
    (tmp_path / "fresh").mkdir()
    fresh = create(first, tmp_path / "fresh", gcr_personal_subdir=after)
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


@pytest.fixture
def scheduled(team, tmp_path):
    """What CI runs by the clock, with an environment that is there, on GitHub or on GitLab."""
    venv = venv_like_ours(tmp_path / "venv")

    def run(code: int, **variables: str) -> str:
        command = ["sh", "src/mlops/upgrade/scheduled_check.sh"]
        env = (
            environment(UPGRADE_VENV=str(venv), GITHUB_ACTIONS="", TEMPLATE="", GH_TOKEN="", UPGRADE_TOKEN="")
            | variables
        )
        done = subprocess.run(command, cwd=team, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


GH = """#!/bin/sh
echo "gh $*" >>{calls}
case $2 in
    list) cat {number} ;;
    create | edit) while [ "$1" != --body-file ]; do shift; done; cp "$2" {body}; echo 7 >{number} ;;
    close) : >{number} ;;
esac
"""
CURL = """#!/bin/sh
echo "curl $*" >>{calls}
case "$*" in
    *state=opened*) [ -s {number} ] && echo '[{{"iid": 7}}]' || echo '[]' ;;
    *state_event=close*) : >{number} ;;
    *description@*) file=${{*##*description@}}; cp "${{file%% *}}" {body}; echo 7 >{number} ;;
esac
"""


@pytest.mark.slow
@pytest.mark.parametrize("host", ["GitHub", "GitLab"])
def test_the_scheduled_check_keeps_one_issue(team, releases, scheduled, tmp_path, host):
    """With stand-ins for gh and curl, which say what they were asked: no host was asked in earnest."""
    files = {name: tmp_path / name for name in ("calls", "number", "body")}
    for file in files.values():
        file.touch()
    (tmp_path / "bin").mkdir()
    for name, text in (("gh", GH), ("curl", CURL)):
        (tmp_path / "bin" / name).write_text(text.format(**files))
        (tmp_path / "bin" / name).chmod(0o755)
    variables = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TEMPLATE": str(releases.folder)}
    if host == "GitHub":
        variables |= {"GH_TOKEN": "x", "GITHUB_ACTIONS": "true"}
    else:
        variables |= {"UPGRADE_TOKEN": "x", "CI_API_V4_URL": "https://git.example.com/api/v4", "CI_PROJECT_ID": "5"}

    def told() -> str:
        calls = files["calls"].read_text()
        files["calls"].write_text("")
        return calls

    assert "Up to date" in scheduled(0, **variables)
    assert len(told().splitlines()) == 1  # looked for an issue, and found none
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    scheduled(0, **variables)
    assert ("issue create --title A newer release" in told()) or host == "GitLab"
    assert f"Version {NEXT} fits" in files["body"].read_text() and "- A line." in files["body"].read_text()
    append(team / "Makefile", "# Our line.")
    commit(team)
    scheduled(0, **variables)
    assert ("issue edit 7" if host == "GitHub" else "--request PUT") in told()
    assert "conflicts with your changes in 1 of your files" in files["body"].read_text()
    git(team, "revert", "--no-edit", "HEAD")
    upgrade(team, *template_is(releases))
    commit(team)
    scheduled(0, **variables)
    assert ("issue close 7" if host == "GitHub" else "state_event=close") in told()
    if host == "GitLab":  # without a token, the exit code says it, which the pipeline takes for a warning
        pipeline = yaml.safe_load(next(releases.root.glob("*gitlab-ci.yml*")).read_text())
        assert pipeline["upgrade-check"]["allow_failure"] == {"exit_codes": 3}


def test_the_scheduled_check_says_what_it_needs_and_passes_where_the_template_is_not_known(team, releases, scheduled):
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    assert "is a folder of another machine" in scheduled(0)  # as cruft records it
    (team / ".cruft.json").unlink()
    commit(team)
    assert f"Version {NEXT} fits" in scheduled(3, TEMPLATE=str(releases.folder))
    scheduled(1, TEMPLATE=str(team / "nowhere"))
    assert "NOT CHECKED: The template's address is not known" in scheduled(0)
    assert scheduled(0, GITHUB_ACTIONS="true").startswith("::notice title=NOT CHECKED::")


@pytest.mark.slow
def test_make_hands_everything_on(team, releases, tmp_path):
    """With an environment that is there; that `make upgrade` makes one is left to .ci/run."""
    venv = venv_like_ours(tmp_path / "venv")
    for folder in (team, team / "src"):
        (folder / "jinja2.py").write_text("raise SystemExit('cookiecutter imports another one')\n")
    commit(team)
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    releases.release("1.2.0", "- Nothing.")
    given = [f"UPGRADE_VENV={venv}", f"TEMPLATE={releases.folder}", f"VERSION={NEXT}"]
    # A shell's own variables choose no release and change no answer.
    around = {"VERSION": "32 (Container Image)", "TEMPLATE": "/nowhere", "ANSWERS": "x", "UPGRADE_VENV": str(venv)}
    assert "Up to date" in call(team, "make", "upgrade-check", **around).stdout
    done = call(team, "make", "upgrade-check", *given, code=2)
    assert "Version 1.1.0 fits" in done.stdout and "Error 3" in done.stderr
    call(team, "make", "upgrade", *given, """ANSWERS=author_name="it's us" project_name='A "B"'""")
    answers = json.loads((team / ".template-answers.json").read_text())["answers"]
    assert (answers["author_name"], answers["project_name"]) == ("it's us", 'A "B"')


def test_make_upgrade_runs_whatever_state_pyproject_is_in(team, tmp_path):
    """Its environment is not made of that file, which may hold both sides of a conflict; nor of any file that does."""
    append(team / "pyproject.toml", "<<<<<<< yours\na\n=======\nb\n>>>>>>> template-1.0.0")
    venv = venv_like_ours(tmp_path / "venv")
    done = call(team, "make", "upgrade", f"UPGRADE_VENV={venv}", code=2)
    assert "pyproject.toml" in done.stderr and "not committed" in done.stderr
    assert "Up to date" in call(team, "make", "upgrade-check", f"UPGRADE_VENV={venv}").stdout


# --- ownership --------------------------------------------------------------------------------------------------------


def test_every_pattern_of_ownership_names_something_and_the_record_is_the_templates(made):
    patterns = tomllib.loads((made / "pyproject.toml").read_text())["tool"]["upgrade"]["team"]
    files = list(contents(made))
    for pattern in patterns:
        assert [name for name in files if fnmatchcase(name, pattern)], pattern
    templates = {name for name in files if not any(fnmatchcase(name, pattern) for pattern in patterns)}
    assert {"Makefile", ".template-answers.json", ".github/workflows/ci.yml"} <= templates
    assert "[tool.upgrade]" in (made / "README.md").read_text()


def test_what_renders_is_pinned_for_a_team_and_tested_in_that_version(made):
    ours = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["dependency-groups"]
    assert pins(made / "src/mlops/upgrade/requirements.txt") <= set(ours["new"])
