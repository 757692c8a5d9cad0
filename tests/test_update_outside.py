"""`make upgrade` touches nothing outside of the repository, and nothing outside of it changes what it does."""

import json
import re
import shutil
from pathlib import Path

import pytest
from releases import append, call, commit, contents, git, prepend, slow, status, undo_command
from releases import upgrade_by_the_templates as upgrade

NEXT = "1.1.0"


@pytest.fixture
def outside(tmp_path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious\n")
    return folder


@pytest.mark.parametrize("where", ["absolute", "link", *slow("relative", "glob", "string")])
def test_a_skip_that_names_what_is_outside_is_refused(releases, team, outside, where):
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    names = {"absolute": [str(outside)], "relative": ["../outside"], "glob": [f"{outside}/*"]}
    names |= {"string": str(outside), "link": ["docs/../../outside"]}
    append(team / "pyproject.toml", f"[tool.cruft]\nskip = {json.dumps(names[where])}")
    commit(team)
    for arguments in [[], ["--check"]] if where == "absolute" else [[]]:
        assert "is outside repository" in upgrade(team, *arguments, code=1).stderr
    assert (outside / "precious.txt").read_text() == "precious\n" and not status(team)


def test_a_setting_that_is_a_word_where_a_list_belongs(releases, team):
    """`team = "src/*"`, `skip = "config.yml"`: as lists of one."""
    (releases.root / "src/team/model.py").unlink()
    append(releases.root / "config.yml", "# A line.")
    releases.release(NEXT, "- Less.")
    text = re.sub(r"(?m)^team = .*", 'team = "src/*"', (team / "pyproject.toml").read_text())
    (team / "pyproject.toml").write_text(text + '[tool.cruft]\nskip = "config.yml"\n')
    commit(team)
    before = (team / "config.yml").read_text()
    assert "git rm src/team/model.py" in upgrade(team).stdout
    assert (team / "config.yml").read_text() == before


@pytest.mark.parametrize(
    "how", ["link for folder", "submodule", *slow("ignored file", "ignored link", "repository", "link in git")]
)
def test_nothing_is_written_through_a_link_or_into_another_repository(releases, team, outside, how):
    releases.write("docs/more/new.md", "The template's.\n")
    append(releases.root / "docs/guide.md", "The template's.")
    releases.release(NEXT, "- A file.")
    more = team / "docs/more"
    git(outside, "init", "--quiet")
    commit(outside)
    (team / ".gitignore").write_text("/docs/more\n" if how.startswith(("ignored", "link for", "repository")) else "")
    if how in ("link in git", "submodule"):
        git(team, "rm", "--quiet", "-r", "docs")
        more = team / "docs"
    match how:
        case "ignored file":
            more.mkdir()
            (more / "new.md").write_text("Ours.\n")
        case "ignored link":
            more.mkdir()
            (more / "new.md").symlink_to(outside / "precious.txt")
        case "link for folder" | "link in git":
            more.symlink_to(outside)
        case "repository":
            git(team, "clone", "--quiet", outside, more)
        case "submodule":
            git(team, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", outside, "docs")
    commit(team)
    before = contents(team)
    if how in ("link in git", "submodule"):
        assert "in the place of the folder:\n\n  docs\n" in upgrade(team).stdout
        assert {path for path in before if before[path] != contents(team).get(path)} == {".template-answers.json"}
    else:
        for arguments in (["--check"], []):  # the check says so too
            assert "Move them away" in upgrade(team, *arguments, code=1).stderr
        assert contents(team) == before
    assert sorted(path.name for path in outside.iterdir()) == [".git", "precious.txt"] and not status(outside)
    assert not (more / "new.md").is_file() or (more / "new.md").read_text() in ("Ours.\n", "precious\n")


@pytest.mark.parametrize("name", ["../../escaped", "/{tmp}/escaped"])
def test_an_answer_that_puts_a_file_outside_is_refused(releases, team, tmp_path, name):
    """A template whose hooks do not check it."""
    releases.ask("folder", "inside")
    (releases.root / "{{cookiecutter.folder}}").mkdir()
    (releases.root / "{{cookiecutter.folder}}/file.txt").write_text("A file.\n")
    releases.release(NEXT, "- A folder.")
    name = name.replace("/{tmp}", str(tmp_path))
    for answers in [f"repo_name={name}"] + [f"folder={name}"] * name.startswith(".."):
        told = upgrade(team, "--answers", answers, code=1, TMPDIR=str(tmp_path)).stderr
        assert "outside of the repository" in told
    assert not list(tmp_path.rglob("escaped")) and not status(team)


def test_a_hook_that_makes_a_repository_changes_nothing(releases, team):
    (releases.folder / "hooks").mkdir()
    (releases.folder / "hooks/post_gen_project.py").write_text(
        "import subprocess\nsubprocess.run(['git', 'init', '-q'])\n"
    )
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A hook.")
    upgrade(team)
    assert (team / "Makefile").read_text().endswith("# A line.\n")


def test_a_part_of_a_larger_repository_is_upgraded_alone(releases, team, tmp_path):
    """Its neighbor's changes, committed or not, are not looked at."""
    whole = tmp_path / "whole"
    part = whole / "models/digits"
    shutil.copytree(team, part, ignore=shutil.ignore_patterns(".git"))
    (whole / "neighbor.txt").write_text("neighbor\n")
    append(part / "README.md", "Ours.")
    git(whole, "init", "--quiet")
    commit(whole)
    append(whole / "neighbor.txt", "not committed")
    append(releases.root / "Makefile", "# A line.")
    append(releases.root / "README.md", "The template's.")
    releases.write("docs/new.md", "New.\n")
    (releases.root / "docs/guide.md").unlink()
    releases.release(NEXT, "- A line.")
    before = contents(part)
    place = ("--template", releases.folder)
    assert f"Version {NEXT} conflicts" in upgrade(part, "--check", *place, code=4).stdout
    told = upgrade(part, *place, code=4).stdout
    assert "\n  README.md  (your file, line " in told and "UU models/digits/README.md\n" in status(whole)
    assert (part / "Makefile").read_text().endswith("# A line.\n") and (part / "docs/new.md").exists()
    assert not (part / "docs/guide.md").exists() and not (whole / "Makefile").exists()
    call(part, *undo_command(told))
    assert contents(part) == before and status(whole) == " M neighbor.txt\n"


@pytest.mark.parametrize(
    "origin", ["git@git.example.com:template", *slow("/a/folder", "https://git.example.com/template", "")]
)
def test_a_folder_is_not_recorded_where_other_machines_read_it(releases, team, origin):
    """Its own remote is, when it has one that is not a folder."""
    git(team, "rm", "--quiet", ".cruft.json")
    commit(team)
    assert "make upgrade TEMPLATE=https://" in upgrade(team, code=1).stderr
    if origin:
        git(releases.folder, "remote", "add", "origin", origin)
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    upgrade(team, "--template", releases.folder)
    assert (team / ".cruft.json").exists() == origin.startswith(("http", "git@"))
    commit(team)
    assert str(releases.folder) not in git(team, "grep", "--no-index", "-h", "", code=None)
    assert "Up to date" in upgrade(team, "--template", releases.folder, "--check").stdout
    if origin.startswith(("http", "git@")):
        assert json.loads((team / ".cruft.json").read_text())["template"] == origin


OWN_SETTINGS = """
[color]
	ui = always
[commit]
	gpgSign = true
[core]
	autocrlf = true
	hooksPath = {hooks}
	attributesFile = {hooks}/attributes
[init]
	templateDir = {hooks}
[merge]
	conflictStyle = diff3
	verifySignatures = true
[safe]
	bareRepository = explicit
[status]
	showUntrackedFiles = no
"""


def test_a_persons_own_settings_and_hooks_of_git_change_nothing(releases, team, tmp_path):
    hooks = tmp_path / "hooks"
    (hooks / "hooks").mkdir(parents=True)
    for name in ("post-checkout", "pre-commit", "hooks/post-checkout", "post-index-change", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/a-hook-ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    (hooks / "attributes").write_text("* -merge\n")
    own = tmp_path / "gitconfig"
    own.write_text(OWN_SETTINGS.format(hooks=hooks))
    for path in ("Makefile", "README.md"):
        append(releases.root / path, "# The template's.")
    releases.release(NEXT, "- A line.")
    prepend(team / "README.md", "Ours.")
    append(team / "Makefile", "# Ours.")
    commit(team)
    other = Path(shutil.copytree(team, tmp_path / "other"))
    (team / "new.py").write_text("")
    assert "new.py" in upgrade(team, GIT_CONFIG_GLOBAL=str(own), code=1).stderr
    (team / "new.py").unlink()
    told = upgrade(team, GIT_CONFIG_GLOBAL=str(own), code=4).stdout
    assert told == upgrade(other, code=4).stdout
    assert git(team, "ls-files", "--stage") == git(other, "ls-files", "--stage")
    assert (team / "Makefile").read_bytes().replace(b"\r\n", b"\n") == (other / "Makefile").read_bytes()
    assert not (tmp_path / "a-hook-ran").exists()


def test_files_are_written_by_the_attributes_that_come_with_them(releases, team):
    releases.write(".gitattributes", "*.bat eol=crlf\n*.md text eol=lf\n")
    releases.write("run.bat", "a\r\nb\r\n")
    releases.write("docs/guide.md", (releases.root / "docs/guide.md").read_text() + "More.\n")
    releases.release(NEXT, "- Line endings.")
    upgrade(team)
    assert (team / "run.bat").read_bytes() == b"a\r\nb\r\n" and git(team, "show", ":run.bat") == "a\nb\n"
    commit(team)
    assert not git(team, "diff", "HEAD")


def test_a_repository_with_longer_hashes(team, releases):
    shutil.rmtree(team / ".git")
    git(team, "init", "--quiet", "--object-format=sha256")
    commit(team)
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    upgrade(team)
    assert (team / "Makefile").read_text().endswith("# A line.\n")
