"""`make upgrade` through a year of twelve releases: five teams, each release to the next and the last, and chains.

`year` says what they must have, without any merge. Each release is one team's start at least; with EXHAUSTIVE in the
environment every team goes from each release to each later one.
"""

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from releases import EXHAUSTIVE, Small, commit, create, git, status
from releases import upgrade_by_the_templates as upgrade
from year import TEAMS, VERSIONS, Expected, Files, answers_at, chains, template_at, upgraded, written

OF_THE_TEMPLATE = {".cruft.json", ".template-answers.json", "answers.txt", "pyproject.toml"}
PAIRS = [(name, old) for turn, name in enumerate(TEAMS) for old in range(11) if EXHAUSTIVE or (old - turn) % 5 == 0]
TABLE = os.environ.get("UPGRADE_TABLE")  # a file, to which each result is added


def start(year: Small, folder: Path, name: str, month: int) -> tuple[Path, Files]:
    """A team's repository as of its first commit: made from a release, and then its own."""
    team = TEAMS[name]
    folder.mkdir()
    repository = create(year, folder, VERSIONS[month], **answers_at(month, team.answers))
    git(repository, "init", "--quiet", "--initial-branch=main")
    commit(repository, "Start from the template")
    files = team.start(month)
    put(repository, files, month)
    commit(repository, "Ours")
    return repository, files


def put(repository: Path, files: Files, month: int) -> None:
    """Make the repository's files these."""
    for path in git(repository, "ls-files", "-z").split("\0")[:-1]:
        if path not in OF_THE_TEMPLATE:
            (repository / path).unlink(missing_ok=True)
    for key, file in files.items():
        (repository / file.path).parent.mkdir(parents=True, exist_ok=True)
        (repository / file.path).write_bytes(written(key, file.content, month))


def faults(repository: Path, name: str, month: int, expected: Expected, before: Files, code: int) -> list[str]:
    """Say what is not as the oracle has it."""
    found = [] if code == (4 if expected.conflicts else 0) else [f"exit code {code}"]
    unmerged = {line.split("\t")[1] for line in git(repository, "ls-files", "--unmerged", "-z").split("\0")[:-1]}
    if unmerged != {expected.files[key].path for key in expected.conflicts}:
        found.append(f"in conflict: {unmerged}")
    there = {path for path in git(repository, "ls-files", "-z").split("\0")[:-1] if path not in OF_THE_TEMPLATE}
    if there != {file.path for file in expected.files.values()}:
        found.append(f"files: {there ^ {file.path for file in expected.files.values()}}")
        return found
    for key, file in expected.files.items():
        actual, wanted = (repository / file.path).read_bytes(), written(key, file.content, month)
        if key not in expected.conflicts:
            found += [] if actual == wanted else [f"{file.path} is another"]
            continue
        theirs = written(key, template_at(month)[key].content, month)
        ours = written(key, before[key].content, month)
        if b"\0" in ours:  # a picture holds no marks: the team's is there, the template's is in the index
            lost = [] if actual == ours else [b"all"]
        elif slots := expected.conflicts[key]:  # beside the slots without a conflict, both sides of the others
            told = [line for line in theirs.splitlines() if any(line.startswith(b"value_%d " % n) for n in slots)]
            lost = [line for line in [*wanted.splitlines(), *told] if line not in actual.splitlines()]
        else:
            lost = [line for line in [*ours.splitlines(), *theirs.splitlines()] if line not in actual.splitlines()]
        found += [f"{file.path} lost {lost}"] if lost else []
    answers = answers_at(month, TEAMS[name].answers)
    record = json.loads((repository / ".template-answers.json").read_text())
    if record != {"template_version": VERSIONS[month], "answers": answers}:
        found.append(f"the record is {record}")
    if (repository / "answers.txt").read_text().splitlines() != list(answers.values()):
        found.append("answers.txt is another")
    return found


def note(*fields: object) -> None:
    if TABLE:
        with open(TABLE, "a", encoding="utf-8") as table:
            print(*fields, sep="\t", file=table)


def test_a_year_at_once(year, tmp_path):
    """The fast one: the team that edits every file, from the first release to the last."""
    repository, files = start(year, tmp_path / "made", "edits", 0)
    expected = upgraded(files, 0, 11)
    code = upgrade(repository, code=None).returncode
    assert not faults(repository, "edits", 11, expected, files, code)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "old"), PAIRS)
def test_every_team_goes_from_every_release_to_later_ones(year, tmp_path, name, old):
    repository, files = start(year, tmp_path / "made", name, old)
    wrong = {}
    for new in range(old + 1, 12) if EXHAUSTIVE else {old + 1, 11 if old % 4 == 0 else old + 1}:
        team = Path(shutil.copytree(repository, tmp_path / f"to-{new}"))
        expected = upgraded(files, old, new)
        code = upgrade(team, "--version", VERSIONS[new], code=None).returncode
        found = faults(team, name, new, expected, files, code)
        note("pair", name, VERSIONS[old], VERSIONS[new], code, len(expected.conflicts), found or "right")
        wrong |= {VERSIONS[new]: found} if found else {}
        shutil.rmtree(team)
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize(("name", "months"), chains(20 if EXHAUSTIVE else 5))
def test_a_chain_of_upgrades(year, tmp_path, name, months):
    """Every conflict is resolved as the team had it, and committed."""
    repository, files = start(year, tmp_path / "made", name, months[0])
    for old, new in pairwise(months):
        expected = upgraded(files, old, new)
        code = upgrade(repository, "--version", VERSIONS[new], code=None).returncode
        found = faults(repository, name, new, expected, files, code)
        note("chain", name, VERSIONS[old], VERSIONS[new], code, len(expected.conflicts), found or "right")
        assert not found
        files = expected.files
        put(repository, files, new)
        commit(repository, f"Upgrade to {VERSIONS[new]}")
        assert not status(repository)
