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
import io
import signal
import sys
import tempfile
from pathlib import Path

from ..errors import UserError
from ..gitcommand import GitError
from .answers import carry, given
from .journal import RECORD, RECORDS, UNDO, Journal
from .merge import Merged, Scratch, Tree, merge, pinned_twice, replaced_folders, skipped, still_used
from .report import show, show_answers, show_changes, state
from .team import Team, record_of
from .template import Template, addresses

FITS, BY_HAND, STOPPED = 3, 4, 130


def options(arguments: list[str]) -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="upgrade", description=__doc__, formatter_class=form)
    parser.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
    parser.add_argument("--template", default="", help="the template's address: a URL for git, or a folder")
    parser.add_argument("--version", default="", help="the release to take (default: the newest)")
    parser.add_argument("--answers", default="", help="answers to change: NAME=VALUE, in quotes where it has a space")
    parser.add_argument("--made-from", default="", help="the template's commit that this was made from, if no release")
    return parser.parse_args(arguments)


def refuse_changes(team: Team, changed: list[str]) -> int:
    """Say what is in the files after an upgrade that is not committed; refuse all other changes."""
    file = team.folder / RECORD
    now = record_of(file.read_text(encoding="utf-8")) if file.is_file() else None
    if now and (now != (team.version, team.answers) or team.git("ls-files", "--unmerged", "--", ".")):
        print("Nothing to do: an upgrade is in your files already.")
        return BY_HAND if state(team) else 0
    raise UserError(
        "There are changes that are not committed, and an upgrade must be able to tell them from the template's:\n\n  "
        + "\n  ".join(changed[:20])
        + "\n\nCommit them, or put them aside with git stash --include-untracked; then: make upgrade"
    )


def join(team: Team, scratch: Scratch, base: Tree, new: Tree, label: str) -> tuple[Merged, list[str]]:
    """Merge what the release changes into the last commit; return what there is to do by hand, too."""
    head = scratch.read(team.tree)
    replaced = replaced_folders(head, base, new)
    show("Left out, because you have a file, a link or a submodule in the place of the folder:", sorted(replaced))
    patterns = [pattern.rstrip("/").split("/") for pattern in (*RECORDS, *replaced, *team.skip)]
    base, new = (
        {path: entry for path, entry in tree.items() if not any(skipped(path.split("/"), one) for one in patterns)}
        for tree in (base, new)
    )
    ours = {path: entry for path, entry in head.items() if path not in RECORDS}
    edited = [path for path in sorted({*ours, *base}) if path[:10] == "src/mlops/" and ours.get(path) != base.get(path)]
    show("Your edits of the template's machinery, which are merged:", edited)
    merged = merge(scratch, ours, base, new, label, team.owns)
    return merged, [*still_used(scratch, merged, base, new), *pinned_twice(scratch, merged, ours, new)]


def run(asked: argparse.Namespace, folder: Path) -> int:
    team = Team()
    if not asked.check:
        team.refuse_hidden_changes()
        if changed := team.changed():
            return refuse_changes(team, changed)
    team.refuse_left_overs()
    known = team.link.get("template") or ""
    where, recorded = addresses(asked.template, known)
    print(f"Asking {where} for its releases ...", flush=True)
    template = Template(where, folder)
    if not template.releases and not asked.version:
        print("It has no release yet: no tag like v1.2.3. There is nothing to take.")
        return 0
    old = template.made_from(team.version, asked.made_from, team.link.get("commit") or "")
    version = asked.version.removeprefix("v")
    version, new = (version, template.release(version)) if version else template.newer(team.version, old)
    answers, told = carry(team.answers, given(asked.answers), template.questions(new))
    if (new, answers, recorded) == (old, team.answers, known):
        print(f"Up to date: version {team.version} of the template at {where}.")
        return 0
    link = {"template": recorded or where} | ({"skip": team.link["skip"]} if team.link.get("skip") else {})
    renders = [template.render("old", old, team.answers, link), template.render("new", new, answers, link)]
    show(f"From version {team.version} to {version}.", template.news(team.version, version))
    show_answers(team.answers, record_of((renders[1] / RECORD).read_text(encoding="utf-8"))[1], told, asked.check)
    return take(team, Scratch(team.folder, folder, renders[1]), renders, version, bool(recorded), asked.check)


def take(team: Team, scratch: Scratch, renders: list[Path], version: str, linked: bool, check: bool) -> int:
    """Say what the release changes, and unless this is a check, write it."""
    base, new = (scratch.add(folder) for folder in renders)
    merged, notes = join(team, scratch, base, new, f"template-{version}")
    merged.tree.update({name: new[name] for name in RECORDS if linked or name == RECORD})
    show_changes(scratch, team.tree, merged, notes)
    head = scratch.read(team.tree)
    team.refuse_obstacles(head, merged.tree)
    changes = {path: merged.tree.get(path) for path in {*head, *merged.tree} if head.get(path) != merged.tree.get(path)}
    if check:
        fits = f"conflicts with your changes in {len(merged.conflicts)} of your files" if merged.conflicts else "fits"
        print(f"\nVersion {version} {fits}. Take it with: make upgrade")
        if team.changed():
            print("Commit your changes before: an upgrade starts from the last commit.")
        return BY_HAND if merged.conflicts or notes else FITS
    if not changes:
        print("\nNothing to do.")
        return 0
    if team.changed():
        raise UserError("Files were changed while this was looking at them. Commit the changes; then: make upgrade")
    print(f"\nNow it is written into your files. Undo all of it at any time before you commit: {UNDO}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # git's too: a second's work is better finished
    try:
        Journal(team.folder).write(changes, merged.conflicts)
    except (GitError, OSError) as error:
        raise UserError(f"The files could not all be written: {error}\nUndo what was written: {UNDO}") from error
    return BY_HAND if state(team) or notes else 0


def stop(number: int, _) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    asked = options(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
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
