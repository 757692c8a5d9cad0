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
from .merge import Merge, Scratch, sides
from .repositories import HOW, Team, Template, addresses, carry
from .write import RECORD, RECORDS, UNDO, write

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
    answers = carry(team.answers, asked.answers, template.questions(new))
    if (new, answers, recorded) == (old, team.answers, known):
        print(f"Up to date: version {team.version} of the template at {where}.")
        return 0
    link = team.link | {"template": recorded or where}
    renders = [template.render("old", old, team.answers, link), template.render("new", new, answers, link)]
    show(f"From version {team.version} to {version}.", template.news(old, new))
    answers = json.loads((renders[1] / RECORD).read_text(encoding="utf-8"))["answers"]
    before = [f"- {name}: {answer!r}" for name, answer in team.answers.items() if answers.get(name) != answer]
    after = [f"+ {name}: {answer!r}" for name, answer in answers.items() if team.answers.get(name) != answer]
    show(f"What changes in the questions and answers. {HOW}", before + after)
    return take(team, Scratch(team.folder, folder, renders), version, bool(recorded), asked.check)


def take(team: Team, scratch: Scratch, version: str, linked: bool, check: bool) -> int:
    """Merge what the release changes into the last commit, say what that is, and unless this is a check, write it."""
    head, records = scratch.read(team.tree), scratch.read(scratch.renders[1])
    ours = {path: entry for path, entry in head.items() if path not in RECORDS}
    base, new = (scratch.read(render, [*RECORDS, *team.skip]) for render in scratch.renders)
    merge = Merge(scratch, ours, base, new, f"template-{version}", team.owns)
    notes = list(merge.notes())
    merge.tree |= {name: records[name] for name in RECORDS if linked or name == RECORD}
    show("Left out, because you have a file, a link or a submodule in the place of the folder:", merge.left_out)
    show("Your edits of the template's machinery, which are merged:", merge.edited)
    diff = ("diff", "--find-renames", team.tree, scratch.write(merge.tree))
    files = scratch.git(*diff, "--compact-summary", "--stat=110", "--", ".", ":!src/mlops")
    show("What changes in your files:", files.splitlines())
    machinery = scratch.git(*diff, "--shortstat", "--", "src/mlops")
    show("What changes in src/mlops, the template's machinery:", machinery.splitlines())
    show("You deleted these, and they stay deleted; the template changed them:", merge.stays_deleted)
    removable = [f"git rm {shlex.quote(path)}" for path in merge.kept]
    show("The template no longer has these. Yours stay; what nothing of yours uses, remove:", removable)
    show("To do by hand, because no merge sees it:", notes)
    changed = {path for path, _ in head.items() ^ merge.tree.items()}
    team.refuse_obstacles(changed & merge.tree.keys())
    if check:
        fits = f"conflicts with your changes in {len(merge.conflicts)} of your files" if merge.conflicts else "fits"
        print(f"\nVersion {version} {fits}. Commit what you have changed; then: make upgrade")
        return BY_HAND if merge.conflicts or notes else FITS
    team.refuse_to_begin(check)  # changes made in the meantime
    print(f"\nNow it is written into your files. Undo all of it at any time before you commit: {UNDO}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # git's too: a second's work is better finished
    write(team.folder, scratch.folder, {path: merge.tree.get(path) for path in {*changed, RECORD}}, merge.conflicts)
    return BY_HAND if show_state(team) or notes else 0


def show(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}\n\n" + "\n".join(f"  {line}".rstrip() for line in lines))


def show_state(team: Team) -> bool:
    """Say what is in the files and not committed yet; return whether there are conflicts."""
    conflicts = sides(team.git("ls-files", "--unmerged", "-z", "--", "."))
    version = json.loads((team.folder / RECORD).read_text(encoding="utf-8"))["template_version"]
    remedies = [f"{path}  {remedy(team, path, ''.join(found))}" for path, found in conflicts.items()]
    show(f"CONFLICT: you and the template changed the same places. Files: {len(conflicts)}.", remedies)
    if conflicts:
        print(f"\nFrom <<<<<<< yours to ======= are your lines, then the template's to >>>>>>> template-{version}.")
    if "Makefile" in conflicts:
        print("Until the Makefile is right, make stops with a missing separator.")
    print(f"\nVersion {version} is in your files, and not committed yet. Look at it: git diff HEAD")
    print(f"Keep it{', when all are added' if conflicts else ''}: make test check && git commit --message", end=" ")
    print(f"'Upgrade the template to {version}'\nUndo all of it: {UNDO}")
    return bool(conflicts)


def remedy(team: Team, path: str, found: str) -> str:
    """Say how to resolve a conflict."""
    file, name = team.folder / path, shlex.quote(path)
    if found in ("2", "3"):
        who, other = ("you", "the template") if found == "2" else ("the template", "you")
        return f"({who} renamed it so, {other} otherwise). Keep one: git add {name}. Remove the other: git rm {name}"
    owner = "your file" if team.owns(path) else "the template's file"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    marks = [str(number) for number, line in enumerate(lines, 1) if line.startswith("<<<<<<< ")]
    if marks:
        return f"({owner}, line {', '.join(marks)}). Edit it; then: git add {name}"
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
