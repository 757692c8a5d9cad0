"""`make upgrade`: questions that are new, renamed or gone, and answers that are changed with it."""

import json
import re

import pytest
from releases import commit, status
from releases import upgrade_by_the_templates as upgrade

NEXT = "1.1.0"


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
    assert "\n  region is now called zone; your answer, europe, was carried over\n  - ci: 'github'\n" in told
    assert "region:" not in told and "zone:" not in told
    assert (team / "config.yml").read_text().startswith("region: europe\n")
    assert json.loads((team / ".template-answers.json").read_text())["answers"]["zone"] == "europe"


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
