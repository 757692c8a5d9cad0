"""Render versions of the template with cookiecutter: python render.py < JOBS.json.

A process of its own, because the template's hooks write to the standard output and error. A job says what it is called,
which files to render with which answers, where to put what is made, and what .cruft.json records (link).
"""

import json
import logging
import sys
from pathlib import Path, PurePosixPath

from cookiecutter.exceptions import CookiecutterException, FailedHookException
from cookiecutter.find import find_template
from cookiecutter.generate import generate_context, generate_files
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from jinja2.exceptions import TemplateError


def as_typed(answer: object) -> object:
    """Return the answer in the form that cookiecutter, which renders what it is given, hands on unchanged."""
    if isinstance(answer, str) and "{" in answer:
        return "{" * 2 + f" {answer!a} " + "}" * 2  # an expression of Jinja that is the answer
    return answer


def refuse_names_outside(template: str, context: dict) -> None:
    """cookiecutter writes wherever a rendered name says."""
    environment = create_env_with_context(context)
    root = Path(find_template(template, environment))
    for path in (root, *root.rglob("*")):
        name = environment.from_string(str(path.relative_to(root.parent))).render(**context)
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise ValueError(f"an answer would put a file outside of the repository: {name}")


def render(files: str, made: str, answers: dict, link: dict) -> None:
    typed = {name: as_typed(answer) for name, answer in answers.items()}
    # A person's own cookiecutter settings must not answer for the team: they are not read.
    context = generate_context(f"{files}/cookiecutter.json", extra_context=typed)
    context["cookiecutter"] = prompt_for_config(context, no_input=True)
    context["cookiecutter"] |= {"_template": link["template"], "_commit": link["commit"]}
    refuse_names_outside(files, context)
    repository = generate_files(files, context, made)
    link = {"template": "", "commit": "", "checkout": "", "context": context, "directory": None} | link
    text = json.dumps(link, ensure_ascii=False, indent=2, separators=(",", ": "))  # as cruft writes it
    Path(repository, ".cruft.json").write_text(text + "\n", encoding="utf-8")


def main() -> str | None:
    logging.disable(logging.CRITICAL)  # cookiecutter logs a failed hook with a traceback
    for job in json.load(sys.stdin):
        failed = f"The template cannot make {job.pop('what')} with this repository's answers"
        try:
            render(**job)
        except FailedHookException:
            return f"{failed}, as it says above."
        except (CookiecutterException, TemplateError, OSError, ValueError) as error:
            return f"{failed}: {type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
