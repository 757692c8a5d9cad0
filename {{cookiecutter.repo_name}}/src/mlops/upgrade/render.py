"""Render a version of the template: cookiecutter's work, with .cruft.json as cruft would write it."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from cookiecutter.exceptions import CookiecutterException
from cookiecutter.find import find_template
from cookiecutter.generate import generate_context, generate_files
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from jinja2.exceptions import TemplateError

from ..errors import UserError
from .write import LINK


@contextmanager
def without_output() -> Iterator[None]:
    """Send what hooks print, which is for those who have just made a repository, nowhere; what they refuse is seen."""
    logging.disable(logging.CRITICAL)  # cookiecutter logs a failed hook with a traceback
    standard = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(standard, 1)


def refuse_names_outside(template: Path, context: dict) -> None:
    """Refuse answers with which cookiecutter would write outside of its folder."""
    environment = create_env_with_context(context)
    root = Path(find_template(template, environment))
    for path in (root, *root.rglob("*")):
        name = environment.from_string(str(path.relative_to(root.parent))).render(**context)
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise ValueError(f"an answer would put a file outside of the repository: {name}")


def render(template: Path, folder: Path, answers: dict, link: dict) -> Path:
    """Return the repository that the template makes of the answers; `link` becomes .cruft.json."""
    # cookiecutter renders what it is given: a text with braces becomes an expression of Jinja that is this text.
    braces = {name: "{" * 2 + ascii(answer) + "}" * 2 for name, answer in answers.items() if "{" in str(answer)}
    try:
        # A person's own settings of cookiecutter must not answer for the team: they are not read.
        context = generate_context(str(template / "cookiecutter.json"), extra_context=answers | braces)
        context["cookiecutter"] = prompt_for_config(context, no_input=True)
        context["cookiecutter"] |= {"_template": link["template"], "_commit": link["commit"]}
        refuse_names_outside(template, context)
        with without_output():
            made = Path(generate_files(str(template), context, str(folder)))
    except (CookiecutterException, TemplateError, OSError, ValueError) as error:
        raise UserError(
            f"Version {link['checkout']} of the template cannot be made with these answers: {error}\nNothing was"
            " changed. An answer is changed with: make upgrade ANSWERS=\"NAME='the answer'\""
        ) from error
    order = dict.fromkeys(("template", "commit", "checkout", "context", "directory"))
    text = json.dumps(order | link | {"context": context}, ensure_ascii=False, indent=2, separators=(",", ": "))
    (made / LINK).write_text(text + "\n", encoding="utf-8")
    return made
