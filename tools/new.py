"""Make a repository from this template: cookiecutter's command line, with sentences instead of tracebacks.

    python tools/new.py --output-dir .. --no-input project_name='Digit Reader'

Every option and NAME=VALUE of `cookiecutter` works here. hooks/pre_gen_project.py reports wrong answers, as it does in
plain cookiecutter. This program reports what goes wrong before a hook runs: an invalid choice, a folder that exists.
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
import pre_gen_project as rules  # noqa: E402


class Refused(Exception):
    """What was wrong, the rule and what to type next, as sentences."""


def check_given(answers: dict[str, str]) -> None:
    """Refuse an invalid choice, for which cookiecutter shows a traceback, and an unknown name, which it ignores."""
    chosen = [rules.choice(name, answer) for name, answer in answers.items() if name in rules.CHOICES]
    if invalid := [problem for problem in chosen if problem.faults]:
        raise Refused(rules.report(invalid))
    questions = [name for name in json.loads((TEMPLATE / "cookiecutter.json").read_text()) if not name.startswith("_")]
    for name in answers:
        if name not in questions:
            near = difflib.get_close_matches(name, questions, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"The questions are {', '.join(questions)}."
            raise Refused(f"There is no question {rules.shown(name)}. {remedy}\n")


def check_replay(file: str) -> None:
    """Refuse a file that cookiecutter did not write."""
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
        " answers that are given there; type this one at its prompt (without --no-input), which leaves braces as they"
        " are.\n"
    )


def run(options: dict) -> None:
    """Call cookiecutter with its own command line's options, as cookiecutter.cli.main does."""
    verbose, debug_file, replay_file = (options.pop(name) for name in ("verbose", "debug_file", "replay_file"))
    options.pop("list_installed")
    configure_logger("DEBUG" if verbose else "INFO", debug_file)
    # Without this, a failed hook's own message is followed by cookiecutter's traceback.
    logging.getLogger("cookiecutter.hooks").disabled = not verbose
    check_given(options["extra_context"] or {})
    options["replay"] = replay_file or options["replay"]
    options["password"] = os.environ.get("COOKIECUTTER_REPO_PASSWORD")
    options["accept_hooks"] = options["accept_hooks"] == "yes" or (
        options["accept_hooks"] == "ask" and click.confirm("Do you want to execute hooks?")
    )
    try:
        if replay_file:
            check_replay(replay_file)
        cli.cookiecutter(**options)
    except exceptions.FailedHookException as error:
        raise Refused("") from error  # the hook has reported it
    except exceptions.OutputDirExistsException as error:
        raise Refused(exists_already(error, options["output_dir"])) from error
    except (TemplateError, exceptions.UndefinedVariableInTemplate) as error:
        reason = str(getattr(error, "error", error)).rstrip(".")
        raise Refused(cannot_render(reason, bool(options["replay"]))) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Refused("repo_name is too long for a folder; nothing was made. At most 40 characters.\n") from error
        raise Refused(f"Nothing was made: {error}.\n") from error
    except (exceptions.CookiecutterException, ValueError) as error:
        raise Refused(f"Nothing was made: {error}.\n") from error


def remove_empty(folder: Path) -> None:
    """Remove a folder that holds only folders."""
    if folder.is_dir() and not folder.is_symlink() and not any(files for _, _, files in os.walk(folder)):
        for inner, _, _ in os.walk(folder, topdown=False):
            os.rmdir(inner)


def main(arguments: list[str]) -> int:
    try:
        with cli.main.make_context("new", [str(TEMPLATE), *arguments]) as context:
            output_dir = Path(context.params["output_dir"])
            before = set(output_dir.iterdir()) if output_dir.is_dir() else set()
            try:
                run(dict(context.params))
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
