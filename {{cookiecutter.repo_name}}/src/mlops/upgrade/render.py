"""Render one version of the template with cruft.

    python render.py TEMPLATE COMMIT ANSWERS.json FOLDER

A process of its own, because the template's hooks write to the standard output and error, which upgrade.py keeps.
"""

import logging
import sys
from pathlib import Path

import cruft
from click import ClickException
from cookiecutter.exceptions import CookiecutterException, FailedHookException
from jinja2.exceptions import TemplateError


def main(template: str, commit: str, answers: str, folder: str) -> int:
    logging.disable(logging.CRITICAL)  # cookiecutter logs a failed hook with a traceback
    try:
        cruft.create(
            template,
            output_dir=Path(folder),
            checkout=commit,
            extra_context_file=Path(answers),
            no_input=True,
            default_config=True,  # a person's own cookiecutter settings must not answer for the team
        )
    except FailedHookException:
        return 1  # the hook has said why
    except ClickException as error:
        sys.stderr.write(error.message + "\n")
        return 1
    except (CookiecutterException, TemplateError, OSError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
