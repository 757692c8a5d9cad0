"""`make upgrade`: what is merged, what conflicts, what is refused, and that every command it prints is right.

With a small template, and this template's program.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from releases import (
    FIRST,
    Small,
    append,
    call,
    commit,
    contents,
    create,
    git,
    prepend,
    slow,
    status,
    undo_command,
)
from releases import upgrade_by_the_templates as upgrade

NEXT = "1.1.0"


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A folder with the small template, and a repository made from it by cruft, which knows the template beside it."""
    folder = tmp_path_factory.mktemp("small")
    team = create(Small(folder / "template"), folder, region="europe").rename(folder / "team")
    link = json.loads((team / ".cruft.json").read_text())
    (team / ".cruft.json").write_text(json.dumps(link | {"template": "../template"}, indent=2))
    git(team, "init", "--quiet", "--initial-branch=main")
    commit(team, "Start from the template")
    return folder


@pytest.fixture
def releases(small, tmp_path) -> Small:
    return Small.at(small / "template").copy(tmp_path / "template")


@pytest.fixture
def team(small, releases, tmp_path) -> Path:
    return Path(shutil.copytree(small / "team", tmp_path / "team"))


def head(team: Path, path: str) -> str:
    return git(team, "show", f"HEAD:{path}")


# --- conflicts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def conflicts(small, tmp_path_factory) -> tuple[Path, dict[str, bytes], str, str]:
    """The same lines changed by both, for each owner; a file and a picture that both made; one that both renamed."""
    folder = Path(shutil.copytree(small, tmp_path_factory.mktemp("conflicts") / "small"))
    releases, team = Small.at(folder / "template"), folder / "team"
    append(releases.root / "Makefile", "# The template's line.")
    append(releases.root / "src/team/model.py", "# The template's line.")
    append(releases.root / "README.md", "The template's line.")
    releases.write("both.txt", "The template's line.\n")
    (releases.root / "both.png").write_bytes(b"\x89PNG\0template")
    (releases.root / "docs/guide.md").rename(releases.root / "docs/one.md")
    releases.release(NEXT, "- Lines.")
    append(team / "Makefile", "# Our line.")
    append(team / "src/team/model.py", "# Our line.")
    prepend(team / "README.md", "Our line.")
    (team / "both.txt").write_text("Our line.\n")
    (team / "both.png").write_bytes(b"\x89PNG\0ours")
    git(team, "mv", "docs/guide.md", "docs/two.md")
    commit(team, "Ours")
    before = contents(team)
    checked = upgrade(team, "--check", code=4).stdout
    assert contents(team) == before and not status(team)
    return folder, before, checked, upgrade(team, code=4).stdout


@pytest.fixture
def conflicting(conflicts, tmp_path) -> tuple[Path, dict[str, bytes], str, str]:
    folder, *told = conflicts
    return shutil.copytree(folder, tmp_path / "conflicting") / "team", *told


def test_a_conflict_is_an_error_that_names_each_file_its_owner_and_its_remedy(conflicting):
    team, before, checked, told = conflicting
    line = 1 + (team / "Makefile").read_text().splitlines().index("<<<<<<< yours")
    assert f"\n  Makefile  (the template's file, line {line}). Edit it; then: git add Makefile\n" in told
    assert "\n  src/team/model.py  (your file, line " in told and "Files: 6." in told
    assert "\n  docs/one.md  (the template renamed it so, you otherwise)" in told
    assert "\n  docs/two.md  (you renamed it so, the template otherwise)" in told
    assert "\n  both.png  (the template's file). Keep yours: git add both.png" in told
    assert "make stops with a missing separator" in told
    assert f"Version {NEXT} conflicts with your changes in 6 of your files" in checked
    for path in ("Makefile", "src/team/model.py", "both.txt"):
        text = (team / path).read_text()
        ours = text.index("<<<<<<< yours")
        assert ours < text.index("ur line.") < text.index("=======") < text.index("The template's line."), path
        assert text.index("The template's line.") < text.index(f">>>>>>> template-{NEXT}"), path
        assert git(team, "show", f":2:{path}").encode() == before[path], path
    merged = (team / "README.md").read_text().splitlines()
    assert (merged[0], merged[-1]) == ("Our line.", "The template's line.")
    assert (team / "both.png").read_bytes() == before["both.png"]
    # Until it is resolved nothing else is done, and nothing is committed.
    git(team, "commit", "--message", "too early", code=128)
    now = contents(team)
    assert upgrade(team, code=4).stdout.count("CONFLICT") == 1 and contents(team) == now


def test_the_printed_commands_resolve_every_conflict_and_lose_no_line(conflicting):
    team, before, _, told = conflicting
    for path in ("Makefile", "src/team/model.py", "both.txt"):  # edited, as it says
        text = (team / path).read_text()
        (team / path).write_text(re.sub(r"(?m)^(<<<<<<< yours|=======|>>>>>>> template-.*)\n", "", text))
    commands = re.findall(r"then: (git add \S+)", told)
    commands += re.findall(r"one\.md  .*?Keep one: (git add [^.]+\.md)", told)
    commands += re.findall(r"two\.md  .*?Remove the other: (git rm \S+)", told)
    commands += re.findall(r"Take the template's: (git checkout --theirs .*)", told)
    keep = re.search(r"when all are added: (make test check && .*)", told)[1]
    commands.append(keep.replace("make test check && ", ""))
    for command in commands:
        call(team, "sh", "-c", command)
    assert not status(team) and "Upgrade the template to 1.1.0" in git(team, "log", "-1", "--format=%s")
    for path in ("Makefile", "src/team/model.py", "both.txt"):
        assert set(before[path].decode().splitlines()) < set((team / path).read_text().splitlines())
    assert (team / "both.png").read_bytes() == b"\x89PNG\0template" and (team / "docs/one.md").exists()
    assert not (team / "docs/two.md").exists() and "Up to date" in upgrade(team).stdout


def test_a_conflict_is_undone_by_the_printed_command(conflicting):
    team, before, _, told = conflicting
    call(team, *undo_command(told))
    assert contents(team) == before and not status(team)


@pytest.mark.parametrize("path", ["Makefile", "src/old.py.rej"])
def test_what_an_earlier_merge_left_is_named(team, path):
    """Also where git ignores it."""
    text = "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> template-1.0.0"
    append(team / path, text) if (team / path).exists() else (team / path).write_text(text)
    append(team / "README.md", "Ours.")
    (team / ".gitignore").write_text("*.rej\n")
    commit(team)
    for arguments in ([], ["--check"]):
        told = upgrade(team, *arguments, code=1).stderr
        assert f"\n  {path}\n" in told and "left from an earlier upgrade" in told


# --- src/mlops, and what uses it --------------------------------------------------------------------------------------


def test_the_machinery_is_replaced_as_a_whole_unless_it_is_edited(releases, team):
    lines = "".join(f"RUNS_{number} = {number * 2}\n" for number in range(8))
    releases.write("src/mlops/runs.py", lines)
    prepend(releases.root / "src/mlops/client.py", "TEMPLATE = 1")
    releases.release(NEXT, "- Another machinery.")
    other = Path(shutil.copytree(team, team.with_name("other")))
    assert "Your edits" not in upgrade(other).stdout and (other / "src/mlops/runs.py").read_text() == lines
    append(team / "src/mlops/client.py", "OURS = 1")
    commit(team)
    told = upgrade(team).stdout
    assert "Your edits of the template's machinery, which are merged:\n\n  src/mlops/client.py\n" in told
    assert (team / "src/mlops/client.py").read_text().splitlines()[::9] == ["TEMPLATE = 1", "OURS = 1"]


def test_uses_of_what_the_release_renames_or_removes_are_named_with_their_line(releases, team):
    """A module that is renamed, one that goes, with its test; a script's path in the team's own Makefile."""
    (releases.root / "src/mlops/client.py").rename(releases.root / "src/mlops/asking.py")
    releases.write("src/team/data.py", (releases.root / "src/team/data.py").read_text().replace("client", "asking"))
    (releases.root / "src/mlops/runs.py").unlink()
    (releases.root / "tests/test_client.py").unlink()
    (releases.root / "docs/guide.md").unlink()
    releases.release(NEXT, "- Less.")
    (team / "src/team/ours.py").write_text(
        "import mlops.runs\nfrom mlops import (\n    __doc__,\n    client,\n)\n\nclients = client\n"
    )
    append(team / "Makefile", "guide:\n\tcat docs/guide.md; python -m mlops.runs")
    commit(team)
    told = upgrade(team, "--check", code=4).stdout
    assert upgrade(team, code=4)
    for line in (
        "src/team/ours.py:1 uses src/mlops/runs.py, which the template no longer has",
        "src/team/ours.py:4 uses src/mlops/client.py, which is src/mlops/asking.py now",
        "tests/test_client.py:1 uses src/mlops/client.py, which is src/mlops/asking.py now",
        "Makefile:26 uses docs/guide.md, which the template no longer has",
        "Makefile:26 uses src/mlops/runs.py, which the template no longer has",
    ):
        assert f"\n  {line}\n" in told, told
    assert "git rm tests/test_client.py" in told and "src/team/data.py:" not in told


def test_a_pin_that_both_sides_add_is_named(releases, team):
    text = (releases.root / "pyproject.toml").read_text()
    releases.write("pyproject.toml", text.replace('  "library-a==1.0",\n', '  "new==1.0",\n  "library-a==1.0",\n'))
    releases.release(NEXT, "- A pin.")
    mine = (team / "pyproject.toml").read_text()
    (team / "pyproject.toml").write_text(mine.replace('  "library-h==1.0",\n', '  "library-h==1.0",\n  "new==2.0",\n'))
    commit(team)
    assert "pyproject.toml pins new twice" in upgrade(team, code=4).stdout


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_renamed_question_keeps_its_answer_and_a_dropped_one_is_told(releases, team):
    """Over two releases at once, and in the files."""
    for version, name, renamed in (
        (NEXT, "place", {"region": "place"}),
        ("1.2.0", "zone", {"region": "place", "place": "zone"}),
    ):
        questions = releases.questions()
        old = "region" if name == "place" else "place"
        questions = {name if key == old else key: value for key, value in questions.items() if key != "ci"}
        releases.write_questions(questions | {"_renamed_questions": renamed})
        releases.write(
            "config.yml",
            (releases.root / "config.yml").read_text().replace(f"cookiecutter.{old}", f"cookiecutter.{name}"),
        )
        releases.release(version, "- A question has another name.")
    told = upgrade(team).stdout
    assert "\n  - region: 'europe'\n  - ci: 'github'\n  + zone: 'europe'\n" in told
    assert (team / "config.yml").read_text().startswith("region: europe\n")
    assert json.loads((team / ".template-answers.json").read_text())["answers"]["zone"] == "europe"


def test_renamed_questions_are_neither_asked_nor_rendered(bake):
    answers = json.loads((bake() / ".template-answers.json").read_text())["answers"]
    assert not [name for name in answers if name.startswith("_")]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ("ci=jenkins", ["jenkins", "variable ci", "the choices are ['github', 'gitlab', 'none']", "NAME='the answer'"]),
        ("regoin=x", ["no question regoin", "Its questions are project_name, repo_name, region, ci."]),
        ("__template_version=x", ["no question __template_version"]),
        ("Yes", ["ANSWERS cannot be read", "NAME='the answer'"]),
        ("region='x", ["ANSWERS cannot be read"]),
    ],
)
def test_a_wrong_answer_is_told_and_nothing_changes(team, answers, told):
    error = upgrade(team, "--answers", answers, code=1).stderr
    assert all(part in error for part in told), error
    assert not status(team)


def test_an_answer_that_is_no_choice_any_more(team, releases):
    releases.set("ci", ["gitlab", "none"])
    releases.release(NEXT, "- A choice goes.")
    told = upgrade(team, code=1).stderr
    assert "github" in told and "variable ci, but the choices are ['gitlab', 'none']" in told and not status(team)
    command = re.search(r"ANSWERS=\"(NAME='the answer')\"", told)[1].replace("NAME", "ci").replace("the answer", "none")
    assert "\n  - ci: 'github'\n  + ci: 'none'\n" in upgrade(team, "--answers", command).stdout


# --- nothing outside the repository -----------------------------------------------------------------------------------


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


# --- where a repository is, and what git is told ----------------------------------------------------------------------


def test_a_part_of_a_larger_repository_is_upgraded_alone(releases, team, tmp_path):
    """Its neighbor's changes, committed or not, are not looked at."""
    whole = tmp_path / "whole"
    part = whole / "models/digits"
    shutil.copytree(team, part, ignore=shutil.ignore_patterns(".git"))
    (whole / "neighbor.txt").write_text("neighbor\n")
    git(whole, "init", "--quiet")
    commit(whole)
    append(whole / "neighbor.txt", "not committed")
    append(releases.root / "Makefile", "# A line.")
    releases.write("docs/new.md", "New.\n")
    (releases.root / "docs/guide.md").unlink()
    releases.release(NEXT, "- A line.")
    before = contents(part)
    place = ("--template", releases.folder)
    assert f"Version {NEXT} fits" in upgrade(part, "--check", *place, code=3).stdout
    told = upgrade(part, *place).stdout
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


# --- what is refused --------------------------------------------------------------------------------------------------


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


def test_a_folder_that_is_no_repository_or_has_no_commit(team):
    """And what is printed makes it one."""
    shutil.rmtree(team / ".git")
    told = upgrade(team, code=1).stderr
    assert "needs a git repository" in told
    git(team, "init", "--quiet")
    assert "no commit yet" in upgrade(team, code=1).stderr
    shutil.rmtree(team / ".git")
    call(team, "sh", "-c", re.search(r"To make one: (.*)", told)[1])
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


def test_a_repository_with_longer_hashes(team, releases):
    shutil.rmtree(team / ".git")
    git(team, "init", "--quiet", "--object-format=sha256")
    commit(team)
    append(releases.root / "Makefile", "# A line.")
    releases.release(NEXT, "- A line.")
    upgrade(team)
    assert (team / "Makefile").read_text().endswith("# A line.\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--template", "/nowhere/at-all"], ["cannot be read from /nowhere/at-all", "TEMPLATE=/folder"]),
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


def test_a_question_that_is_new_is_answered_anew_by_the_printed_command(team, releases):
    releases.ask("backup", "here")
    releases.write("docs/backup.md", "{{ cookiecutter.backup }}\n")
    releases.release(NEXT, "- A question.")
    told = upgrade(team).stdout
    assert "\n  + backup: 'here'\n" in told
    command = re.search(r"ANSWERS=\"(NAME='the answer')\"", told)[1].replace("NAME", "backup")
    commit(team)
    upgrade(team, "--answers", command.replace("the answer", "there"))
    assert (team / "docs/backup.md").read_text() == "there\n"


def test_what_was_edited_before_the_first_commit_is_merged(releases, tmp_path):
    """git has then never seen the file as the template made it. And a folder that moves takes no file of the team's."""
    team = create(releases, tmp_path)
    append(team / "Makefile", "# Ours.")
    (team / "docs/ours.md").write_text("ours\n")
    git(team, "init", "--quiet")
    commit(team)
    prepend(releases.root / "Makefile", "# The template's.")
    (releases.root / "docs").rename(releases.root / "manual")
    releases.release(NEXT, "- A line.")
    upgrade(team)
    assert (team / "docs/ours.md").exists() and (team / "manual/guide.md").exists()
    lines = (team / "Makefile").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("# The template's.", "# Ours.")


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


def test_help_documents_the_exit_codes(team):
    told = upgrade(team, "--help").stdout
    assert "Exit codes" in told and all(f"\n    {code} " in told for code in (0, 1, 2, 3, 4, 130))
    assert upgrade(team, "--no-such-option", code=2).stderr
