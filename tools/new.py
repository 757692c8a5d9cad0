"""Make a repository from this template: ask well at a terminal, and otherwise say what is missing or wrong.

    python tools/new.py --output-dir .. --no-input project_name='Digit Reader'

Every option and NAME=VALUE of `cookiecutter` works here. The rules are those of hooks/pre_gen_project.py, which plain
cookiecutter applies after the last question.
"""

import copy
import difflib
import io
import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

import click
from cookiecutter import cli, exceptions
from cookiecutter.log import configure_logger
from jinja2.exceptions import TemplateError

sys.path.insert(0, str(Path(__file__).resolve().parent))  # a shell's PYTHONSAFEPATH leaves it out
from answers import TEMPLATE, WHERE, Answers, Refused, name_problem, rules, user_settings

COMMAND = copy.copy(cli.main)
PLAIN = click.Option(["--plain"], is_flag=True, help="Ask in lines only, for screen readers: no cursor codes")
COMMAND.params = [*cli.main.params, PLAIN]
NAMES = list(rules.CHECKS)


class Stopped(Exception):
    """Ctrl-C or the end of the input; the text says what is left."""


def check_given(answers: dict[str, str]) -> None:
    """Refuse an invalid choice, for which cookiecutter shows a traceback, and an unknown name, which it ignores."""
    chosen = [rules.choice(name, answer) for name, answer in answers.items() if name in rules.CHOICES]
    if invalid := [problem for problem in chosen if problem.faults]:
        raise Refused(rules.report(invalid))
    for name in answers:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"The questions are {', '.join(NAMES)}."
            raise Refused(f"There is no question {rules.shown(name)}. {remedy}\n")


def check_nothing_missing(given: dict) -> None:
    """Refuse to guess answers where nobody can be asked."""
    if missing := [name for name in NAMES if name not in given]:
        raise Refused(
            f"There is no terminal to ask at, and answers are missing: {', '.join(missing)}. Nothing was made.\n"
            "Give them as NAME=VALUE, or take their defaults with --no-input.\n"
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


def ask_for(answers: Answers, plain: bool, kept: Path):
    """Ask for the answers that are not given. Return who asks."""
    import interview  # noqa: PLC0415 - it takes a moment, and scripts need none of it

    plain = plain or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb"
    ask = interview.Lines() if plain else interview.Screen()
    before = answers.load(kept)
    go_on, anew = "Yes: the rest is asked, and each can be changed", "No: ask everything"
    if before and interview.yes(ask, "Go on with the answers of your last try?", go_on, anew, True):
        answers.given = before | answers.given
    interview.interview(answers, ask, lambda: answers.keep(kept))
    return ask


def take_answers(options: dict, plain: bool, kept: Path, overwrite: bool):
    """Put all answers into cookiecutter's options. Return the folder to make, and who asked for the answers."""
    given, defaults = options["extra_context"] or {}, options["default_config"]["default_context"] or {}
    check_given(given)
    answers = Answers(defaults, options["output_dir"], overwrite)
    answers.take(given)
    ask = None
    if not options["no_input"] and sys.stdin.isatty():
        ask = ask_for(answers, plain, kept)
    elif not options["no_input"]:
        check_nothing_missing(given | defaults)
    if found := answers.problems():
        raise Refused(rules.report(found))
    context = answers.context()
    options |= {"extra_context": answers.literal(), "output_dir": context[WHERE], "no_input": True}
    return Path(context[WHERE], context["repo_name"]), ask


def take_replay(options: dict, overwrite: bool) -> Path:
    """Refuse a file that cookiecutter did not write, and a name that it stumbles over. Return the folder to make."""
    if options["no_input"] or options["extra_context"]:
        raise Refused("A replay takes all answers from its file: leave --no-input and NAME=VALUE out.\n")
    default = Path(options["default_config"]["replay_dir"], f"{TEMPLATE.name}.json")
    file = default if options["replay"] is True else Path(options["replay"])
    content = json.loads(file.read_text(encoding="utf-8"))
    context = content.get("cookiecutter") if isinstance(content, dict) else None
    if not isinstance(context, dict):
        raise Refused(f"{file} is not a replay file of cookiecutter: it has no object called cookiecutter.\n")
    found = rules.check("repo_name", context)
    if not found.faults and not overwrite:
        found = name_problem(os.path.abspath(options["output_dir"]), context["repo_name"])
    if found.faults:
        raise Refused(rules.report([found]))
    return Path(options["output_dir"], context["repo_name"])


def make(options: dict, folder: Path) -> None:
    """Call cookiecutter, and leave nothing half-made."""
    existed = os.path.lexists(folder)
    try:
        cli.cookiecutter(**options)
    except BaseException:
        if not existed and not options["keep_project_on_failure"]:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def usable(folder: str, scratch: str) -> str:
    """Return the folder for replays, or `scratch` where it cannot be written to: cookiecutter would make nothing."""
    try:
        os.makedirs(folder, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        sys.stderr.write(f"{folder} cannot be written to: your answers are not kept for a next time.\n")
    return folder if writable else scratch


def run(options: dict, scratch: str) -> int:
    """Make a repository from the options of cookiecutter's command line. Return an exit code."""
    verbose, debug_file, plain, _ = (options.pop(name) for name in ("verbose", "debug_file", "plain", "list_installed"))
    configure_logger("DEBUG" if verbose else "INFO", debug_file)
    # Without this, a failed hook's own message is followed by cookiecutter's traceback.
    logging.getLogger("cookiecutter.hooks").disabled = not verbose
    options["replay"] = options.pop("replay_file") or options["replay"]
    options["accept_hooks"] = options["accept_hooks"] == "yes" or (
        options["accept_hooks"] == "ask" and click.confirm("Do you want to execute hooks?")
    )
    settings = user_settings(options.pop("config_file"), options["default_config"], check=not options["replay"])
    replay_dir = usable(settings["replay_dir"], scratch)
    options["default_config"] = settings | {"replay_dir": replay_dir}
    kept = Path(replay_dir, f"{TEMPLATE.name}.unfinished.json")
    overwrite, ask = options["overwrite_if_exists"] or options["skip_if_file_exists"], None
    can_go_on = not options["no_input"] and replay_dir != scratch
    try:
        if options["replay"]:
            folder = take_replay(options, overwrite)
        else:
            folder, ask = take_answers(options, plain, kept, overwrite)
        make(options, folder)
    except (KeyboardInterrupt, EOFError, click.Abort):
        can_go_on = can_go_on and kept.exists()
        raise Stopped(f"Stopped; nothing was made.{' The next try can go on from here.' * can_go_on}") from None
    if ask is None:
        return 0
    kept.unlink(missing_ok=True)
    import first_steps  # noqa: PLC0415 - with interview

    try:
        return first_steps.first_steps(folder, ask)
    except (KeyboardInterrupt, EOFError):
        raise Stopped(f"Stopped. {folder} is made; go on with the commands above.") from None


def main(arguments: list[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a character that cannot be shown stops nothing
    replay = False
    try:
        with COMMAND.make_context("new", [str(TEMPLATE), *arguments]) as context:
            replay = bool(context.params["replay"] or context.params["replay_file"])
            with tempfile.TemporaryDirectory() as scratch:
                return run(dict(context.params), scratch)
    except Refused as refusal:
        sys.stderr.write(str(refusal))
    except exceptions.FailedHookException:
        pass  # the hook has reported it
    except (TemplateError, exceptions.UndefinedVariableInTemplate) as error:
        sys.stderr.write(cannot_render(str(getattr(error, "error", error)).rstrip("."), replay))
    except (OSError, exceptions.CookiecutterException, ValueError) as error:
        sys.stderr.write(f"Nothing was made: {error}.\n")
    except Stopped as stop:
        sys.stderr.write(f"\n{stop}\n")
        return 130
    except click.exceptions.Exit as stop:  # --help, --version
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
