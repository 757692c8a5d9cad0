"""Files in changelog.d become a section of CHANGELOG.md at a release, and a branch without one is refused."""

import shutil
import sysconfig

import pytest
from conftest import TEMPLATE
from releases import call, commit, git

TOWNCRIER = f"{sysconfig.get_path('scripts')}/towncrier"


@pytest.fixture
def branch(tmp_path):
    """A branch of a template that has only what the changelog is made of."""
    folder = tmp_path / "template"
    folder.mkdir()
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(TEMPLATE / name, folder)
    shutil.copytree(TEMPLATE / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet", "-b", "main")
    commit(folder)
    git(folder, "checkout", "--quiet", "-b", "mine")
    (folder / "Makefile").write_text("# New.")
    commit(folder)
    return folder


def test_a_branch_needs_its_file(branch):
    check = (TOWNCRIER, "check", "--compare-with", "main")
    assert "No new newsfragments found" in call(branch, *check, code=1).stdout
    call(branch, TOWNCRIER, "create", "+verb.change.md", "--content", "A new verb.")
    commit(branch)
    call(branch, *check)


def test_a_release_has_the_section_that_an_upgrade_shows(branch):
    for name, content in (("+verb.change.md", "A new verb."), ("+verb.do.md", "Type it.")):
        call(branch, TOWNCRIER, "create", name, "--content", content)
    commit(branch)
    call(branch, TOWNCRIER, "build", "--yes", "--version", "9.9.9", "--date", "2030-01-02")
    notes = call(branch, "tools/release_notes.sh", "v9.9.9").stdout
    assert "## 9.9.9 (2030-01-02)\n" in (branch / "CHANGELOG.md").read_text()
    assert -1 < notes.find("- A new verb.") < notes.find("What you must do") < notes.find("- Type it.")
    assert "0.2.0" not in notes


@pytest.mark.parametrize(("tag", "code", "printed"), [("v0.1.0", 0, "The first release"), ("v0.0.9", 1, "no section")])
def test_a_release_gets_its_section_as_notes(tag, code, printed):
    done = call(TEMPLATE, "tools/release_notes.sh", tag, code=code)
    assert printed in done.stdout + done.stderr and "## " not in done.stdout
