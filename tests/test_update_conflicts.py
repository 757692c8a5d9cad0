"""`make upgrade`: what both sides changed, and what no merge sees. Every command that is printed is typed."""

import re
import shutil
from pathlib import Path

import pytest
from releases import Small, append, call, commit, contents, create, git, prepend, status, undo_command
from releases import upgrade_by_the_templates as upgrade

NEXT = "1.1.0"


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
    assert "\n  docs/one.md  (the template gave it this name, you another)" in told
    assert "\n  docs/two.md  (you gave it this name, the template another)" in told
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
    commands += re.findall(r"one\.md  .*?Keep it: (git add [^.]+\.md)", told)
    commands += re.findall(r"two\.md  .*?Or remove it: (git rm \S+)", told)
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
        assert f"\n  {path}\n" in told and "left by an earlier upgrade" in told


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
