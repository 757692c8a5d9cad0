"""Ask the questions of `make new` one at a time, with the hook's rules applied while an answer is typed.

`Screen` leaves the terminal to prompt_toolkit. `Lines` prints and reads lines, without a cursor code.
"""

import contextlib
import shutil
import textwrap
from collections.abc import Callable

from answers import NAMES, QUESTIONS, WHERE, Answers, rules
from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.shortcuts import choice
from prompt_toolkit.styles import Style
from prompt_toolkit.validation import ValidationError, Validator

Check = Callable[[str], rules.Problem | None]
PLACEHOLDER = "a placeholder: change this before the cluster"


class Back(Exception):
    """The question before is wanted again."""


def wrap(text: str, narrower: int = 0, cut: bool = False) -> list[str]:
    """Wrap at words. Only a text that is to be cut has its long words broken: names are there to be copied."""
    width = max(20, min(100, shutil.get_terminal_size().columns - 1) - narrower)
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=cut, replace_whitespace=False)


def say(text: str, indent: str = "") -> None:
    print(f"\n{indent}".join(wrap(text, narrower=len(indent))))


class Screen:
    """Lines that are checked while they are typed, and choices by the arrow keys."""

    how = "Enter takes the answer that is shown. Shift-Tab goes back, Ctrl-C stops and keeps your answers."

    def __init__(self) -> None:
        self.keys = KeyBindings()
        self.keys.add("s-tab")(lambda event: event.app.exit(exception=Back()))
        self.session: PromptSession[str] = PromptSession(style=Style.from_dict({"bottom-toolbar": "noreverse"}))

    def text(self, default: str, typed: str, check: Check) -> str:
        """Return an answer without a fault; `typed` can be edited."""

        def validate(text: str) -> bool:
            if found := check(text or default):
                hint = f"try {found.remedy}" if found.remedy else "see below"
                raise ValidationError(len(text), f"This cannot work: {hint}")
            return True

        def below() -> str:
            found = check(self.session.default_buffer.text or default)
            lines = rules.explain(found) if found else ["ok"]
            return "\n".join(f"\n{' ' * 7}".join(wrap(line, narrower=7, cut=True)) for line in lines)

        validator = Validator.from_callable(validate)
        answer = self.session.prompt(
            "> ",
            default=typed,
            validator=validator,
            validate_while_typing=False,
            bottom_toolbar=below,
            key_bindings=self.keys,
        )
        return answer or default

    def choice(self, options: dict[str, str], default: str) -> str:
        indent = "\n" + " " * 6  # below the label, beside its number
        labels = [(value, indent.join(wrap(label, narrower=11, cut=True))) for value, label in options.items()]
        return choice("The arrow keys and Enter choose.", options=labels, default=default, key_bindings=self.keys)


class Lines:
    """The same for screen readers, and for terminals that cannot move the cursor."""

    how = "An empty line takes the answer in brackets. < goes back, Ctrl-C stops and keeps your answers."

    def read(self, default: str) -> str:
        if (line := input(f"[{default}] ")) == "<":
            raise Back
        return line or default

    def refuse(self, answer: str, found: rules.Problem, default: str) -> str:
        """Say what is wrong. Return what an empty line answers next."""
        say(f"{rules.shown(answer)} cannot work.")
        for line in rules.explain(found):
            say(line)
        return found.remedy or default

    def text(self, default: str, typed: str, check: Check) -> str:
        default = typed or default
        if typed and (found := check(typed)):
            default = self.refuse(typed, found, default)
        while found := check(answer := self.read(default)):
            default = self.refuse(answer, found, default)
        return answer

    def choice(self, options: dict[str, str], default: str) -> str:
        values = list(options)
        words = {value.lower(): value for value in values}
        for number, label in enumerate(options.values(), start=1):
            say(f"{number}. {label}", indent="   ")
        while True:
            answer = self.read(str(values.index(default) + 1))
            word = {"y": "yes", "n": "no"}.get(answer.lower(), answer.lower())
            if word in words:
                return words[word]
            if answer.isdecimal() and 0 < int(answer) <= len(values):
                return values[int(answer) - 1]
            if word == "no" and "yes" in words:
                say("Type the number of the answer to change, or Ctrl-C to stop and keep your answers.")
            else:
                say(f"{rules.shown(answer)} is not one of the choices. Type a number from 1 to {len(values)}.")


def yes(ask: Screen | Lines, question: str, if_yes: str, if_no: str, default: bool) -> bool:
    print()
    say(question)
    while True:
        with contextlib.suppress(Back):
            return ask.choice({"yes": if_yes, "no": if_no}, "yes" if default else "no") == "yes"


def is_placeholder(name: str, answer: str) -> bool:
    return name in QUESTIONS["_placeholders"] and answer == QUESTIONS[name]


def question(answers: Answers, ask: Screen | Lines, name: str) -> str | None:
    """Ask one question. Return None for its default, which then follows when an answer before it changes."""
    default, given = answers.context(**{name: None})[name], answers.given.get(name)
    words = QUESTIONS["__prompts__"].get(name, "Where to: the folder in which the repository becomes a new folder")
    print()
    heading = f"{NAMES.index(name) + 1} of {len(NAMES)}. "
    if name in rules.CHOICES:
        say(heading + words["__prompt__"] if isinstance(words, dict) else heading + words)
        labels = {value: words[value] if isinstance(words, dict) else value for value in rules.CHOICES[name]}
        answer = ask.choice(labels, given or default)
    else:
        say(heading + words + ".")
        if name in QUESTIONS["_examples"]:
            say(f"For example: {QUESTIONS['_examples'][name]}")
        say(f"Default: {default}{f' ({PLACEHOLDER})' if is_placeholder(name, default) else ''}")

        def check(text: str) -> rules.Problem | None:
            problems = answers.problems(**{name: None if text == default else text})
            return next((one for one in problems if one.question == name), None)

        answer = ask.text(default, given or "", check)
    return None if answer == default else answer


def summary(answers: Answers, ask: Screen | Lines) -> str | None:
    """Show what follows from the answers. Return the question to ask again, or None to make the repository."""
    context = answers.context()
    follows = {
        "folder": f"{context[WHERE]}/{context['repo_name']}",
        "Python package": f"src/{context['src_package_name']}",
        "image prefix": context["__image_prefix"],
        "bucket": context["__bucket"],
        "SeldonDeployment": context["__deployment_name"],
        "WorkflowTemplate": f"{context['repo_name']}-package-model",
        "service accounts": f"NAME@{context['__service_account_domain']}",
    }
    print()
    say("These names follow from your answers:")
    for what, name in follows.items():
        say(f"  {what}: {name}", indent="    ")
    print()
    say("Make it? Or choose an answer to change it.")
    marks = {name: f" ({PLACEHOLDER})" if is_placeholder(name, context[name]) else "" for name in NAMES}
    options = {"yes": "Make it"} | {name: f"{name}: {context[name]}{marks[name]}" for name in NAMES}
    chosen = ask.choice(options, "yes")
    return None if chosen == "yes" else chosen


def interview(answers: Answers, ask: Screen | Lines, keep: Callable[[], None]) -> None:
    """Ask until every answer works and the person says: make it. `keep` is called after each answer."""
    queue = [name for name in NAMES if name not in answers.given]
    asked = [name for name in NAMES if name in answers.given]
    back = False
    say(ask.how)
    while True:
        name = None
        try:
            wrong = [] if back else [one.question for one in answers.problems() if one.question in answers.given]
            name = wrong[0] if wrong else queue.pop(0) if queue else summary(answers, ask)
            if name is None:
                return
            answers.given[name] = question(answers, ask, name)
        except Back:
            queue = asked[-1:] + ([name] if name else []) + queue
            asked, back = asked[:-1], True
        else:
            asked, back = [*asked, name], False
            queue = [other for other in queue if other != name]
            keep()
