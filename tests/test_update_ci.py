"""`make upgrade` and `make upgrade-check` as make and CI's schedule start them, with an environment that is there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from releases import Releases, append, call, commit, environment, git, upgrade, venv_like_ours

NEXT = "1.1.0"


@pytest.fixture
def releases(first, tmp_path) -> Releases:
    return first.copy(tmp_path / "template")


@pytest.fixture
def team(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "team"))


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
    upgrade(team, "--template", releases.folder)
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
