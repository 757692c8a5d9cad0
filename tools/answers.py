"""The answers of `make new`: their defaults, rules and names, as cookiecutter and the hook compute them."""

import json
import os
import sys
from pathlib import Path

from cookiecutter.config import USER_CONFIG_PATH, get_user_config
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config

TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE / "hooks"))
import pre_gen_project as rules  # noqa: E402

QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
WHERE = "output_dir"  # asked too, before cookiecutter's own
NAMES = [WHERE, *(name for name in QUESTIONS if not name.startswith("_"))]


class Refused(Exception):
    """Say what was wrong, the rule, and what to type next."""


def user_settings(config_file: str | None, default_config: bool, check: bool = True) -> dict:
    """Return the user's settings of cookiecutter. Refuse default answers that it drops, such as Yes without quotes."""
    settings = get_user_config(config_file, default_config)
    answers = (settings["default_context"] or {}) if check else {}
    file = config_file or os.environ.get("COOKIECUTTER_CONFIG") or USER_CONFIG_PATH
    if not isinstance(answers, dict):
        raise Refused(f"default_context in {file} is not a list of NAME: VALUE; nothing was made.\n")
    suspect = [name for name in NAMES if name in answers and (name in rules.CHOICES or type(answers[name]) is not str)]
    if found := [one for one in (rules.check(name, answers) for name in suspect) if one.faults]:
        quotes = "YAML reads yes, no, null and numbers as something else than text: put them in quotes there"
        example = next((f', {one.question}: "{one.remedy}"' for one in found if one.remedy), "")
        raise Refused(f"{rules.report(found)}\nThey come from {file}. {quotes}{example}.\n")
    return settings


def folder_problem(text: str) -> rules.Problem:
    """Check where the repository is to be made."""
    there = os.path.abspath(os.path.expanduser(text))
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    faults = rules.free_text_faults(text, 1, 1000)
    if not os.path.isdir(there):
        faults.append(f"is not a folder: {there}")
    elif not os.access(there, os.W_OK | os.X_OK):
        faults.append(f"may not be written to: {there}")
    rule = "a folder that you may write to, or one that can be made; the repository becomes a folder in it"
    return rules.Problem(WHERE, text, faults, rule)


def name_problem(folder: str, name: str) -> rules.Problem:
    """Check that nothing has the repository's name in that folder."""

    def faults(text: str) -> list[str]:
        return [f"exists already in {folder}"] if os.path.lexists(os.path.join(folder, text)) else []

    rule = "a name that is free there; another place is --output-dir ..., and --overwrite-if-exists writes over it"
    return rules.problem("repo_name", name, rule, faults, f"{name[:38].rstrip('-')}-2")


class Answers:
    """The answers so far, None where the default was taken. A default follows from the other answers."""

    def __init__(self, defaults: dict, output_dir: str, overwrite: bool = False) -> None:
        self.given: dict[str, str | None] = {}
        self.defaults, self.overwrite = defaults, overwrite
        self.output_dir = os.path.abspath(os.path.expanduser(output_dir))
        self.rendered: dict[str, dict] = {}

    def take(self, answers: dict[str, str]) -> None:
        """Take answers of the command line, rendered by Jinja, as cookiecutter does it."""
        context = prompt_for_config(generate_context(str(TEMPLATE / "cookiecutter.json"), self.defaults, answers), True)
        self.given |= {name: context[name] for name in answers}

    def literal(self, **more: str | None) -> dict[str, str]:
        """Return the answers as templates that cookiecutter renders to exactly these texts."""
        given = {name: text for name, text in (self.given | more).items() if text is not None and name != WHERE}
        quoted = {name: "{{ " + json.dumps(text, ensure_ascii=False) + " }}" for name, text in given.items()}
        return quoted | {name: text for name, text in given.items() if name in rules.CHOICES}

    def context(self, **more: str | None) -> dict:
        """Return all answers, with defaults and the names that follow, as cookiecutter computes them."""
        literal = self.literal(**more)
        key = json.dumps(literal)
        if key not in self.rendered:  # it takes a moment, and is wanted whenever the screen is drawn
            raw = generate_context(str(TEMPLATE / "cookiecutter.json"), self.defaults, literal)
            self.rendered[key] = prompt_for_config(raw, no_input=True)
        where = (self.given | more).get(WHERE) or self.output_dir
        return {WHERE: os.path.abspath(os.path.expanduser(where)), **self.rendered[key]}

    def problems(self, **more: str | None) -> list[rules.Problem]:
        """Return what the hook would say of the answers, defaults too, and whether the name is taken."""
        context = self.context(**more)
        found = [folder_problem(context[WHERE]), *rules.problems(context)]
        if not self.overwrite and not any(one.question == "repo_name" for one in found):
            found.append(name_problem(context[WHERE], context["repo_name"]))
        return [one for one in found if one.faults]

    def load(self, file: Path) -> dict[str, str | None]:
        """Return the answers that an unfinished `make new` left, without those that are no longer asked."""
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {
            name: text
            for name, text in (kept.items() if isinstance(kept, dict) else ())
            if name in NAMES and (text is None or (type(text) is str and text in rules.CHOICES.get(name, (text,))))
        }

    def keep(self, file: Path) -> None:
        file.write_text(json.dumps(self.given), encoding="utf-8")
