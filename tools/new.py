"""Makes a repository from this template: cookiecutter's own command line, with its tracebacks turned into sentences.

    python tools/new.py --output-dir .. --no-input project_name='Digit Reader'

Every option and NAME=VALUE of `cookiecutter` works here. A wrong answer is told by hooks/pre_gen_project.py, as in
plain cookiecutter; what goes wrong before any hook runs (a choice that is none, a folder that exists) is told here.
"""

import difflib
import errno
import json
import logging
import os
import sys
from pathlib import Path

import click
from cookiecutter import cli, exceptions
from cookiecutter.log import configure_logger
from jinja2.exceptions import TemplateError

TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE / "hooks"))
import pre_gen_project as rules  # noqa: E402  one place for the rules and for how they are told


class Refused(Exception):
    """A sentence for a person: what was wrong, the rule, what to type next."""


def check_given(answers: dict[str, str]) -> None:
    """Refuse what cookiecutter would end in a traceback for (a wrong choice) or pass over in silence (a wrong name)."""
    found = [rules.choice(name, answer) for name, answer in answers.items() if name in rules.CHOICES]
    if found := [problem for problem in found if problem.faults]:
        raise Refused(rules.report(found))
    questions = [name for name in json.loads((TEMPLATE / "cookiecutter.json").read_text()) if not name.startswith("_")]
    for name in answers:
        if name not in questions:
            near = difflib.get_close_matches(name, questions, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"The questions are {', '.join(questions)}."
            raise Refused(f"There is no question {rules.shown(name)}. {remedy}\n")


def check_replay(file: str) -> None:
    """Refuse a file of another shape than the one cookiecutter writes."""
    content = json.loads(Path(file).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("cookiecutter"), dict):
        raise Refused(f"{file} is not a replay file of cookiecutter: it has no object called cookiecutter.\n")


def exists_already(error: Exception, output_dir: str) -> str:
    folder = str(error).split('"')[1]
    if Path(os.path.abspath(folder)).parent != Path(output_dir).resolve():
        return "repo_name is empty or a path; nothing was made. Try lower-case words joined by hyphens: digit-reader.\n"
    return (
        f"{folder} exists already; nothing was changed. Remove it, choose another name (repo_name=...) or another"
        " place (--output-dir ...), or write over it with --overwrite-if-exists.\n"
    )


def cannot_render(reason: str, replayed: bool) -> str:
    if replayed:
        return (
            f"The replay file does not fit this version of the template: {reason}; nothing was made. Give the answers"
            " as NAME=VALUE instead.\n"
        )
    return (
        f"An answer on the command line is not a Jinja template: {reason}; nothing was made. cookiecutter renders"
        " answers that are given there; type this one at its prompt (leave --no-input out), where braces stay as they"
        " are.\n"
    )


def run(options: dict) -> None:
    """Call cookiecutter as its command line does; see cookiecutter.cli.main."""
    configure_logger("DEBUG" if options["verbose"] else "INFO", options["debug_file"])
    # Without this, a failed hook's own message is followed by cookiecutter's traceback.
    logging.getLogger("cookiecutter.hooks").disabled = not options["verbose"]
    check_given(options["extra_context"] or {})
    try:
        if options["replay_file"]:
            check_replay(options["replay_file"])
        cli.cookiecutter(
            options["template"],
            options["checkout"],
            options["no_input"],
            replay=options["replay_file"] or options["replay"],
            password=os.environ.get("COOKIECUTTER_REPO_PASSWORD"),
            accept_hooks=options["accept_hooks"] == "yes"
            or (options["accept_hooks"] == "ask" and click.confirm("Do you want to execute hooks?")),
            **{
                name: options[name]
                for name in (
                    "extra_context",
                    "overwrite_if_exists",
                    "output_dir",
                    "config_file",
                    "default_config",
                    "directory",
                    "skip_if_file_exists",
                    "keep_project_on_failure",
                )
            },
        )
    except exceptions.FailedHookException as error:
        raise Refused("") from error  # the hook has said it
    except exceptions.OutputDirExistsException as error:
        raise Refused(exists_already(error, options["output_dir"])) from error
    except (TemplateError, exceptions.UndefinedVariableInTemplate) as error:
        reason = str(getattr(error, "error", error)).rstrip(".")
        raise Refused(cannot_render(reason, bool(options["replay_file"] or options["replay"]))) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Refused("repo_name is too long for a folder; nothing was made. At most 40 characters.\n") from error
        raise Refused(f"Nothing was made: {error}.\n") from error
    except (exceptions.CookiecutterException, ValueError) as error:
        raise Refused(f"Nothing was made: {error}.\n") from error


def remove_empty(folder: Path) -> None:
    """Remove a folder that holds folders and nothing else."""
    if folder.is_dir() and not folder.is_symlink() and not any(files for _, _, files in os.walk(folder)):
        for inner, _, _ in os.walk(folder, topdown=False):
            os.rmdir(inner)


def main(arguments: list[str]) -> int:
    try:
        with cli.main.make_context("new", [str(TEMPLATE), *arguments]) as context:
            options = context.params
            output_dir = Path(options["output_dir"])
            before = set(output_dir.iterdir()) if output_dir.is_dir() else set()
            try:
                run(options)
            except Refused:
                # cookiecutter removes the folder it rendered into, and not those above it when repo_name is a path.
                for made in set(output_dir.iterdir() if output_dir.is_dir() else ()) - before:
                    remove_empty(made)
                raise
    except Refused as refusal:
        sys.stderr.write(str(refusal))
        return 1
    except click.exceptions.Exit as stop:  # --help, --version
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, EOFError, click.Abort):
        sys.stderr.write("\nStopped before the last question; nothing was made.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
