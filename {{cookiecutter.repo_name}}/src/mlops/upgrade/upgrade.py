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
import glob
import io
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError
from .merge import Scratch, Tree, merge, pinned_twice, replaced_folders, still_used
from .report import show, show_changes, show_state
from .team import Team, record_of, refuse
from .template import Template, addresses, carry, given, told
from .write import RECORD, RECORDS, UNDO, write

FITS, BY_HAND, STOPPED = 3, 4, 130


def options(arguments: list[str]) -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="upgrade", description=__doc__, formatter_class=form)
    parser.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
    parser.add_argument("--template", default="", help="the template's address: a URL for git, or a folder")
    parser.add_argument("--version", default="", help="the release to take (default: the newest)")
    parser.add_argument("--answers", default="", help="answers to change: NAME=VALUE, in quotes where it has a space")
    return parser.parse_args(arguments)


def run(asked: argparse.Namespace, folder: Path) -> int:
    team = Team()
    if not asked.check:
        team.refuse_hidden_changes()
        changed = team.changed()
        if changed and team.holds_an_upgrade():
            print("Nothing to do: an upgrade is in your files already.")
            return BY_HAND if show_state(team) else 0
        refuse("not committed. Commit them, or put them aside with git stash --include-untracked", changed)
    team.refuse_left_overs()
    known = team.link.get("template") or ""
    where, recorded = addresses(asked.template, known)
    print(f"Asking {where} for its releases ...", flush=True)
    template = Template(where, folder)
    if not template.releases:
        print("It has no release yet: no tag like v1.2.3. There is nothing to take.")
        return 0
    old = template.made_from(team.version, team.link.get("commit") or "")
    version = asked.version.removeprefix("v")
    version, new = (version, template.release(version)) if version else template.newer(team.version, old)
    questions = template.questions(new)
    answers = carry(team.answers, given(asked.answers), questions)
    if (new, answers, recorded) == (old, team.answers, known):
        print(f"Up to date: version {team.version} of the template at {where}.")
        return 0
    link = team.link | {"template": recorded or where}
    renders = [template.render("old", old, team.answers, link), template.render("new", new, answers, link)]
    show(f"From version {team.version} to {version}.", template.news(old, new))
    answers = record_of((renders[1] / RECORD).read_text(encoding="utf-8"))[1]
    show("What changes in the questions and answers:", list(told(team.answers, answers, questions)))
    return take(team, Scratch(team.folder, folder, renders[1]), renders, version, bool(recorded), asked.check)


def take(team: Team, scratch: Scratch, renders: list[Path], version: str, linked: bool, check: bool) -> int:
    """Merge what the release changes into the last commit, say what that is, and unless this is a check, write it."""
    head, base, new = (scratch.read(tree) for tree in (team.tree, *map(scratch.add, renders)))
    records = {name: new[name] for name in RECORDS if linked or name == RECORD}
    replaced = sorted(replaced_folders(head, base, new))
    show("Left out, because you have a file, a link or a submodule in the place of the folder:", replaced)
    ours = scratch.without(head, RECORDS)
    base, new = (scratch.without(tree, [*RECORDS, *map(glob.escape, replaced), *team.skip]) for tree in (base, new))
    edited = [path for path in sorted({*ours, *base}) if path[:10] == "src/mlops/" and ours.get(path) != base.get(path)]
    show("Your edits of the template's machinery, which are merged:", edited)
    merged = merge(scratch, ours, base, new, f"template-{version}", team.owns)
    notes = [*still_used(scratch, merged, base, new), *pinned_twice(scratch, merged, ours, new)]
    merged.tree.update(records)
    show_changes(scratch, team.tree, merged, notes)
    changes = {path: merged.tree.get(path) for path in {*head, *merged.tree} if head.get(path) != merged.tree.get(path)}
    team.refuse_obstacles({path for path, entry in changes.items() if entry})
    if check:
        fits = f"conflicts with your changes in {len(merged.conflicts)} of your files" if merged.conflicts else "fits"
        print(f"\nVersion {version} {fits}. Commit what you have changed; then: make upgrade")
        return BY_HAND if merged.conflicts or notes else FITS
    if not changes:
        print("\nNothing to do.")
        return 0
    keep(team, scratch.folder, changes | {RECORD: records[RECORD]}, merged.conflicts)
    return BY_HAND if show_state(team) or notes else 0


def keep(team: Team, scratch: Path, changes: Mapping[str, str | None], conflicts: dict[str, Tree]) -> None:
    if team.changed():
        raise UserError("Files were changed while this was looking at them. Commit the changes; then: make upgrade")
    print(f"\nNow it is written into your files. Undo all of it at any time before you commit: {UNDO}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # git's too: a second's work is better finished
    try:
        write(team.folder, scratch, changes, conflicts)
    except (GitError, OSError) as error:
        raise UserError(f"The files could not all be written: {error}\nUndo what was written: {UNDO}") from error


def main(arguments: list[str]) -> int:
    asked = options(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="upgrade-", ignore_cleanup_errors=True) as scratch:
            return run(asked, Path(scratch))
    except (UserError, GitError) as error:
        sys.stdout.flush()
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing was changed.", file=sys.stderr)
        return STOPPED
