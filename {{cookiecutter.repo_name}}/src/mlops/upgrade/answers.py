"""The answers that a new version is rendered with: those of the old one, and those that are given now."""

import difflib
import shlex

from ..errors import UserError


def given(text: str) -> dict[str, str]:
    """Read NAME=VALUE NAME='the value' as a shell does."""
    try:
        answers = dict(part.split("=", 1) for part in shlex.split(text))
    except ValueError as error:
        raise UserError(f"ANSWERS cannot be read: {error}. Write it like ANSWERS=\"NAME='the answer'\"") from error
    return answers


def carry(old: dict, asked: dict[str, str], questions: dict) -> tuple[dict, list[str]]:
    """Return the answers by the names of the new version's questions, and what to tell of them.

    cookiecutter passes over a name that it does not know, and over no choice without a traceback: both are refused.
    """
    names = [name for name in questions if not name.startswith("_")]
    renamed = questions.get("_renamed_questions", {})
    answers, told = {}, []
    for before, answer in old.items():
        name = before
        for _ in renamed:  # one that was renamed twice
            name = name if name in names else renamed.get(name, name)
        if name not in names:
            told.append(f"{before} is not asked any more; your answer was {answer!r}.")
        elif name == before:
            answers[name] = answer
        elif name not in old:
            answers[name] = answer
            told.append(f"{before} is called {name} now; your answer stays {answer!r}.")
    for name in asked.keys() - names:
        near = " ".join(difflib.get_close_matches(name, names, n=1)) or "one of " + ", ".join(names)
        raise UserError(f"The template has no question {name}. Did you mean {near}?")
    answers |= asked
    for name, answer in answers.items():
        if isinstance(questions[name], list) and answer not in questions[name]:
            ways = " or ".join(f"ANSWERS=\"{name}='{choice}'\"" for choice in questions[name])
            raise UserError(f"{name} is {answer!r}, and that is no choice in this version. Type one of: {ways}")
    return answers, told
