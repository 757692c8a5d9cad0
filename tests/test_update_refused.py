"""`make upgrade`: what it refuses and why, what a check says, and what there is to take."""

import os
import re
import shutil

import pytest
from releases import FIRST, append, call, commit, contents, create, git, prepend, slow, status
from releases import upgrade_by_the_templates as upgrade

NEXT = "1.1.0"


@pytest.mark.parametrize("what", ["edited", "new", *slow("staged", "deleted")])
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
    assert "not committed" in told and before.split()[-1] in told
    assert status(team) == before
    git(team, *re.search(r"git (stash --include-untracked)", told)[1].split())
    assert "Up to date" in upgrade(team).stdout


@pytest.mark.parametrize("how", ["sparse-checkout", *slow("assume-unchanged")])
def test_files_that_git_does_not_look_at_are_named(releases, team, how):
    append(releases.root / "docs/guide.md", "More.")
    releases.release(NEXT, "- More.")
    if how == "sparse-checkout":
        git(team, "update-index", "--refresh")  # this is a copy
        git(team, "sparse-checkout", "set", "src")
    else:
        git(team, "update-index", "--assume-unchanged", "docs/guide.md")
        append(team / "docs/guide.md", "Hidden.")
    before = contents(team)
    assert "\n  docs/guide.md" in upgrade(team, code=1).stderr and contents(team) == before
    assert upgrade(team, "--check", code=3)


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
    told = upgrade(team, code=1).stderr
    assert "merge, rebase or cherry-pick that is under way" in told and not status(team)


def test_a_folder_that_is_no_repository_or_has_no_commit(team):
    """And what is printed makes it one."""
    shutil.rmtree(team / ".git")
    told = upgrade(team, code=1).stderr
    assert "needs a git repository" in told
    call(team, "sh", "-c", re.search(r"first: (git init .*)", told)[1])
    assert "needs a git repository" in upgrade(team, code=1).stderr
    call(team, "sh", "-c", re.search(r"git add .*", told)[0])
    assert "Up to date" in upgrade(team).stdout


def test_git_says_itself_why_a_repository_cannot_be_read(team):
    """One of another user, as in containers."""
    done = upgrade(team, GIT_TEST_ASSUME_DIFFERENT_OWNER="1", code=1)
    assert "safe.directory" in done.stderr


def test_an_older_git_and_none_are_told(team, tmp_path):
    (tmp_path / "git").write_text("#!/bin/sh\necho git version 2.34.1\n")
    (tmp_path / "git").chmod(0o755)
    done = upgrade(team, code=1, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert "needs git 2.38 or later; this is git version 2.34.1" in done.stderr
    assert "git-scm.com/downloads" in upgrade(team, code=1, PATH="/nowhere").stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"template_version": "x", "answers": {}}', *slow("{}", None)])
def test_a_record_that_says_nothing_is_told(team, text):
    (team / ".template-answers.json").write_text(text) if text else (team / ".template-answers.json").unlink()
    commit(team)
    told = upgrade(team, code=1).stderr
    assert ".template-answers.json" in told and "git log --oneline -- .template-answers.json" in told


def test_a_pyproject_that_cannot_be_read_is_told(team):
    append(team / "pyproject.toml", "[[[")
    commit(team)
    assert "as committed cannot be read" in upgrade(team, code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--template", "/nowhere/at-all"], ["cannot be read from /nowhere/at-all", "TEMPLATE="]),
        (["--template", "https://127.0.0.1:9/template.git"], ["cannot be read from https://127.0.0.1:9", "TEMPLATE="]),
        (["--template", "https://me@127.0.0.1/x"], ["would be committed", "gitcredentials"]),
        (["--version", "9.9.9"], ["no release 9.9.9 (tag v9.9.9)", "Its releases are 1.0.0."]),
    ],
)
def test_a_template_that_cannot_be_read_is_told(team, arguments, told):
    done = upgrade(team, *arguments, code=1)
    assert all(part in done.stderr for part in told), done.stderr
    assert not status(team)


def test_before_any_release_there_is_nothing_to_take(team, releases):
    git(releases.folder, "tag", "--delete", f"v{FIRST}")
    for arguments in ([], ["--check"]):
        assert "no release yet" in upgrade(team, *arguments).stdout


def test_a_template_with_another_history_is_told(team, releases):
    git(releases.folder, "checkout", "--quiet", "--orphan", "new")
    git(releases.folder, "commit", "--quiet", "--message", "All of it")
    git(releases.folder, "branch", "--quiet", "--delete", "--force", "main")
    git(releases.folder, "tag", "--force", f"v{FIRST}")
    git(releases.folder, "reflog", "expire", "--expire=now", "--all")
    git(releases.folder, "gc", "--quiet", "--prune=now")
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    assert f"any more: v{FIRST} as it is now takes its place" in upgrade(team).stdout
    assert (team / "Makefile").read_text().endswith("# A line.\n")


def test_a_repository_made_between_two_releases(releases, tmp_path):
    """It has the version that comes, which is no release yet."""
    releases.set("__template_version", NEXT)
    append(releases.root / "Makefile", "# Not released.")
    commit(releases.folder)
    between = git(releases.folder, "rev-parse", "HEAD").strip()
    team = create(releases, tmp_path, between)
    (team / ".cruft.json").unlink()
    git(team, "init", "--quiet")
    commit(team)
    told = upgrade(team, "--template", releases.folder, code=1).stderr
    assert "no release 1.1.0" in told and not status(team)
    printed = re.search(r"write that into .cruft.json, and commit it: (.*)", told)[1]
    printed = printed.replace("ADDRESS", str(releases.folder)).replace("COMMIT", between)
    (team / ".cruft.json").write_text(printed)
    commit(team)
    prepend(releases.root / "Makefile", "# Released.")
    releases.release(NEXT, "- A line.")
    upgrade(team)
    lines = (team / "Makefile").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("# Released.", "# Not released.")


def test_the_check_says_whether_a_newer_release_fits_and_changes_nothing(team, releases, tmp_path):
    assert "Up to date" in upgrade(team, "--check").stdout
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    releases.release("1.10.0", "- Nothing.")
    git(releases.folder, "tag", "v2.0.0rc1")
    append(team / "README.md", "Ours.")  # the check reads the last commit
    before = status(team)
    told = upgrade(team, "--check", code=3).stdout
    assert "Version 1.10.0 fits" in told and " Makefile " in told and "## 1.1.0" in told
    assert "Commit what you have changed; then: make upgrade" in told and status(team) == before
    shallow = tmp_path / "shallow"  # as CI checks out
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{team}", shallow)
    assert upgrade(shallow, "--check", code=3).stdout in told


def test_help_documents_the_exit_codes(team):
    told = upgrade(team, "--help").stdout
    assert "Exit codes" in told and all(f"\n    {code} " in told for code in (0, 1, 2, 3, 4, 130))
    assert upgrade(team, "--no-such-option", code=2).stderr
