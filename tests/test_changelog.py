"""What changes for a team is told: CHANGELOG.md has a form, and a change without an entry is found."""

import shutil
import sys

import check_changelog
import pytest
from conftest import TEMPLATE
from releases import FIRST, Releases, append, call, commit, git

TOOL = TEMPLATE / "tools/check_changelog.py"
NEXT = "1.1.0"


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Releases:
    releases = Releases(tmp_path_factory.mktemp("released") / "template")
    (releases.folder / "tools").mkdir()
    shutil.copy(TOOL, releases.folder / "tools")
    commit(releases.folder)
    git(releases.folder, "tag", "--force", f"v{FIRST}")
    return releases


@pytest.fixture
def releases(released, tmp_path) -> Releases:
    return released.copy(tmp_path / "template")


def check(releases: Releases, *arguments: str, code: int) -> str:
    done = call(releases.folder, sys.executable, "tools/check_changelog.py", *arguments, code=code)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def raise_version(releases: Releases, entry: str) -> None:
    """As CONTRIBUTING.md says, without a tag."""
    releases.release(NEXT, entry)
    git(releases.folder, "tag", "--delete", f"v{NEXT}")


def test_this_templates_changelog_can_be_read():
    assert not list(check_changelog.faults((TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8")))


def test_this_change_has_its_entry():
    done = call(TEMPLATE, sys.executable, TOOL, code=None)
    assert done.returncode == 0, done.stderr
    if "NOT CHECKED" in done.stdout:
        pytest.skip(done.stdout.strip())


@pytest.mark.parametrize(
    ("changelog", "fault"),
    [
        ("## 1.0 (2026-01-01)\n- a\nWhat you must do: nothing.", 'is not like "## 1.2.0 (2026-12-01)"'),
        ("## 1.0.0\n- a\nWhat you must do: nothing.", "is not like"),
        ("## 1.0.0 (2026-01-01)\nWhat you must do: nothing.", "does not say what changes"),
        ("## 1.0.0 (2026-01-01)\n- a", 'does not say "What you must do: '),
        (
            "## 1.9.0 (2026-01-01)\n- a\nWhat you must do: b\n## 1.10.0 (2026-01-01)\n- a\nWhat you must do: b",
            "newest version is not first",
        ),
        (
            "## 1.1.0 (2026-01-01)\n- a\nWhat you must do: b\n## 1.0.0 (unreleased)\n- a\nWhat you must do: b",
            "only the first",
        ),
    ],
)
def test_a_fault_of_form_is_told(changelog, fault):
    assert any(fault in told for told in check_changelog.faults(changelog))


def test_a_change_that_a_team_sees_needs_an_entry(releases):
    """Seen in one choice only, uncommitted, then on main, then on a branch."""
    file = next(path for path in releases.root.iterdir() if path.name.endswith(".gitlab-ci.yml{% endif %}"))
    append(file, "# New.")
    told = check(releases, code=1)
    assert f"Version {FIRST} is released" in told and "\n  .gitlab-ci.yml\n" in told and "Makefile" not in told
    commit(releases.folder)
    raise_version(releases, "- What GitLab does.")
    assert "tells what has changed" in check(releases, code=0)
    git(releases.folder, "checkout", "--quiet", "-b", "mine")
    append(releases.root / "Makefile", "# New.")
    commit(releases.folder)
    told = check(releases, code=1)
    assert "\n  Makefile\n" in told and ".gitlab" not in told and f'under "## {NEXT}"' in told
    text = (releases.folder / "CHANGELOG.md").read_text()
    (releases.folder / "CHANGELOG.md").write_text(text.replace("- What", "- What make does.\n- What"))
    assert "tells what has changed" in check(releases, code=0)


def test_a_change_that_no_team_sees_needs_none(releases):
    append(releases.folder / "hooks/post_gen_project.py", "# New.")
    append(releases.folder / "pyproject.toml", "# New.")
    releases.set("__unused", "new")
    assert "tells what has changed" in check(releases, code=0)


def test_nothing_to_compare_with_is_no_failure(releases, tmp_path):
    shallow = Releases.__new__(Releases)
    shallow.folder = tmp_path / "shallow"
    append(releases.root / "Makefile", "# New.")
    commit(releases.folder)
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", f"file://{releases.folder}", shallow.folder)
    assert "NOT CHECKED" in (told := check(shallow, code=0)) and "git fetch --unshallow --tags" in told
    git(releases.folder, "tag", "--delete", f"v{FIRST}")
    assert "NOT CHECKED" in (told := check(releases, code=0)) and "no release yet" in told
    shutil.rmtree(releases.folder / ".git")
    assert "NOT CHECKED" in check(releases, code=0)


@pytest.mark.parametrize(("tag", "code", "printed"), [("v0.1.0", 0, "The first release"), ("v0.0.9", 1, "no section")])
def test_a_release_gets_its_section_as_notes(tag, code, printed):
    done = call(TEMPLATE, "tools/release_notes.sh", tag, code=code)
    assert printed in done.stdout + done.stderr and "## " not in done.stdout
