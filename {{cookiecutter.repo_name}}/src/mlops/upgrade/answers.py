"""The answers that a new version is rendered with: those of the old one, and those that are given now."""

import difflib
import shlex
from collections.abc import Iterator

from ..errors import UserError


def given(text: str) -> dict[str, str]:
    """Read NAME=VALUE NAME='the value' as a shell does."""
    try:
        return dict(part.split("=", 1) for part in shlex.split(text))
    except ValueError as error:
        raise UserError(f"ANSWERS cannot be read: {error}. Write it like ANSWERS=\"NAME='the answer'\"") from error


def carry(old: dict, asked: dict[str, str], questions: dict) -> dict:
    """Return the answers by the names of the new version's questions.

    cookiecutter passes over a name that it does not know, and over no choice without a traceback: both are refused.
    """
    names = [name for name in questions if not name.startswith("_")]
    if unknown := sorted(asked.keys() - names):
        near = " ".join(difflib.get_close_matches(unknown[0], names, n=1)) or "one of " + ", ".join(names)
        raise UserError(f"The template has no question {unknown[0]}. Did you mean {near}?")
    answers = {name: answer for _, name, answer in carried(old, questions) if name in names} | asked
    for name, answer in answers.items():
        if isinstance(questions[name], list) and answer not in questions[name]:
            ways = " or ".join(f"ANSWERS=\"{name}='{choice}'\"" for choice in questions[name])
            raise UserError(f"{name} is {answer!r}, and that is no choice in this version. Type one of: {ways}")
    return answers


def carried(old: dict, questions: dict) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each question then, its name now, and the answer."""
    renamed = questions.get("_renamed_questions", {})
    for before, answer in old.items():
        name = before
        for _ in renamed:  # one that was renamed twice
            name = name if name in questions else renamed.get(name, name)
        yield before, name, old.get(name, answer)


def told(old: dict, new: dict, questions: dict) -> Iterator[str]:
    """Say what changes in the questions and answers."""
    had = {}
    for before, name, answer in carried(old, questions):
        had[name] = answer
        if name not in new:
            yield f"{before} is not asked any more; your answer was {answer!r}."
        elif name != before:
            yield f"{before} is called {name} now; your answer was {answer!r}."
    for name, answer in new.items():
        if name not in had:
            yield f"A new question: {name}. Answered with its default, {answer!r}. Another answer, later:"
            yield f"  make upgrade ANSWERS=\"{name}='...'\""
        elif answer != had[name]:
            yield f"{name} was {had[name]!r} and becomes {answer!r}."
