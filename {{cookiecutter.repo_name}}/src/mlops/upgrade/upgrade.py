"""Take a release of the template into this repository: `make upgrade`, `make upgrade-check`.

Exit codes (make itself ends with 2 whenever one of them is not 0):
    0    upgraded, or up to date
    1    could not be done or checked; nothing was changed
    2    an option that does not exist
    3    with --check: a newer release, which fits
    4    there is something to do by hand: conflicts, or uses of what the template no longer has
    130  stopped; nothing was changed
"""

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError
from . import RECORD, UNDO
from .merge import Merge, Scratch, sides
from .repositories import HOW, Team, Template, addresses

FITS, BY_HAND, STOPPED = 3, 4, 130


def run(asked: argparse.Namespace, folder: Path) -> int:
    team = Team()
    if not asked.check and team.git("diff", "--name-only", "--diff-filter=M", "HEAD", "--", RECORD):
        print("Nothing to do: an upgrade is in your files already.")
        return BY_HAND if show_state(team) else 0
    team.refuse_to_begin(asked.check)
    known = team.link.get("template") or ""
    where, recorded = addresses(asked.template, known)
    print(f"Asking {where} for its releases ...")
    template = Template(where, folder)
    if not template.releases:
        print("It has no release yet: no tag like v1.2.3. There is nothing to take.")
        return 0
    old = template.made_from(team.version, team.link.get("commit") or "")
    version, new = template.wanted(asked.version.removeprefix("v"), team.version, old)
    answers, names = carry(team.answers, asked.answers, template.questions(new))
    if (new, answers, recorded) == (old, team.answers, known):
        print(f"Up to date: version {team.version} of the template at {where}.")
        return 0
    link = team.link | {"template": recorded or where}
    renders = [template.render("old", old, team.answers, link), template.render("new", new, answers, link)]
    answers = json.loads((renders[1] / RECORD).read_text(encoding="utf-8"))["answers"]
    show(f"From version {team.version} to {version}.", template.news(old, new))
    show(f"What changes in the questions and answers. {HOW}", difference(team.answers, answers, names))
    return take(team, folder, renders, version, linked=bool(recorded), check=asked.check)


def take(team: Team, folder: Path, renders: list[Path], version: str, linked: bool, check: bool) -> int:
    """Merge the release into the last commit, say what changes, and unless this is a check, write it."""
    scratch = Scratch(team.folder, folder, renders[1])
    merge = Merge(team, scratch, renders, f"template-{version}", linked)
    result, notes = scratch.write(merge.tree), list(merge.notes())
    diff = ("diff", "--find-renames", team.tree, result)
    files = scratch.git(*diff, "--compact-summary", "--stat=110", "--", ".", ":!src/mlops")
    machinery = scratch.git(*diff, "--shortstat", "--", "src/mlops")
    show("What changes in your files:", files.splitlines())
    show("What changes in src/mlops, the template's machinery:", machinery.splitlines())
    for title, lines in merge.told.items():
        show(title, lines)
    show("To do by hand, because no merge sees it:", notes)
    team.refuse_obstacles({path for path, entry in merge.tree.items() if merge.ours.get(path) != entry})
    if check:
        fits = f"conflicts with your changes in {len(merge.conflicts)} of your files" if merge.conflicts else "fits"
        print(f"\nVersion {version} {fits}. Commit what you have changed; then: make upgrade")
        return BY_HAND if merge.conflicts or notes else FITS
    team.refuse_to_begin(check)  # changes made in the meantime
    print(f"\nNow it is written into your files. Undo all of it at any time before you commit: {UNDO}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # git's too: a second's work is better finished
    team.write(folder, result, merge.conflicts)
    return BY_HAND if show_state(team) or notes else 0


def carry(old: dict, asked: str, questions: dict) -> tuple[dict, dict[str, str]]:
    """Return the answers of before and of NAME=VALUE NAME='the value', and each old question's name now."""
    try:
        given = dict(part.split("=", 1) for part in shlex.split(asked))
    except ValueError as error:
        raise UserError(f"ANSWERS cannot be read: {error}. {HOW}") from error
    known = [name for name in questions if not name.startswith("_")]
    if unknown := sorted(given.keys() - known):
        raise UserError(f"The template has no question {unknown[0]}. Its questions are {', '.join(known)}.")
    renamed, names = questions.get("_renamed_questions", {}), {name: name for name in old}
    for _ in renamed:  # a question may have been renamed more than once
        names = {name: now if now in known else renamed.get(now, now) for name, now in names.items()}
    answers = {names[name]: answer for name, answer in old.items()} | old
    return {name: answer for name, answer in answers.items() if name in known} | given, names


def difference(old: dict, new: dict, names: dict[str, str]) -> list[str]:
    """Say which answers were carried over to another name, which are gone, and which are new."""
    carried = {name: now for name, now in names.items() if name != now and new.get(now) == old[name]}
    return [
        *(f"{name} is now called {now}; your answer, {old[name]}, was carried over" for name, now in carried.items()),
        *(f"- {name}: {old[name]!r}" for name in old if name not in carried and new.get(name) != old[name]),
        *(f"+ {name}: {new[name]!r}" for name in new if name not in carried.values() and old.get(name) != new[name]),
    ]


def show(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}\n\n" + "\n".join(f"  {line}".rstrip() for line in lines))


def show_state(team: Team) -> bool:
    """Say what is in the files and not committed yet; return whether there are conflicts."""
    conflicts = sides(team.git("ls-files", "--unmerged", "-z", "--", "."))
    version = json.loads((team.folder / RECORD).read_text(encoding="utf-8"))["template_version"]
    remedies = [f"{path}  {remedy(team, path, found)}" for path, found in conflicts.items()]
    show(f"CONFLICT: you and the template changed the same places. Files: {len(conflicts)}.", remedies)
    if conflicts:
        print(f"\nYour lines go from <<<<<<< yours to =======, the template's on to >>>>>>> template-{version}.")
    if "Makefile" in conflicts:
        print("Until the Makefile is right, make stops with a missing separator.")
    print(f"\nVersion {version} is in your files, and not committed yet. Look at it: git diff HEAD")
    print(f"Keep it{', when all are added' if conflicts else ''}: make test check && git commit --message", end=" ")
    print(f"'Upgrade the template to {version}'\nUndo all of it: {UNDO}")
    return bool(conflicts)


def remedy(team: Team, path: str, sides: list[str]) -> str:
    """Say how to resolve a conflict."""
    name = shlex.quote(path)
    if len(sides) == 1:  # stage 2 is the team's
        who, other = ("you", "the template") if sides[0][-1] == "2" else ("the template", "you")
        return f"({who} gave it this name, {other} another). Keep it: git add {name}. Or remove it: git rm {name}"
    owner = "your file" if team.owns(path) else "the template's file"
    marks = team.git("grep", "-hnI", "^<<<<<<< yours", "--", f":(literal){path}", fine=(0, 1)).splitlines()
    if marks:
        return f"({owner}, line {', '.join(mark.split(':')[0] for mark in marks)}). Edit it; then: git add {name}"
    return f"({owner}). Keep yours: git add {name}. Take the template's: git checkout --theirs {name} && git add {name}"


def main(arguments: list[str]) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="upgrade", description=__doc__, formatter_class=form)
    parser.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
    parser.add_argument("--template", default="", help="the template's address: a URL for git, or a folder")
    parser.add_argument("--version", default="", help="the release to take (default: the newest)")
    parser.add_argument("--answers", default="", help="answers to change: NAME=VALUE, in quotes where it has a space")
    asked = parser.parse_args(arguments)
    # A file's name may be no text. And what the template's hooks print is for those who have just made a repository.
    sys.stdout = os.fdopen(os.dup(1), "w", 1, encoding=sys.stdout.encoding, errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="upgrade-", ignore_cleanup_errors=True) as scratch:
            return run(asked, Path(scratch))
    except (UserError, GitError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing was changed.", file=sys.stderr)
        return STOPPED
