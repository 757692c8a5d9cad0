"""Take a new release of the template into this repository, and lose nothing of the team's.

    make upgrade                                   to the newest release
    make upgrade VERSION=1.2.0                     to this one
    make upgrade TEMPLATE=https://...              where the template is: the first time, or when it has moved
    make upgrade ANSWERS="ci_provider='GitLab CI'" with another answer, to the newest release
    make upgrade-check                             is there a newer release, and does it fit? Changes nothing

The template is rendered by cruft for the version that this repository was made from and for the new one; git merges the
difference into the last commit. Who owns a file is in pyproject.toml, [tool.upgrade].

Exit codes of this program (make itself ends with 2 whenever one of them is not 0):
    0    upgraded, or up to date
    1    could not be done or checked; nothing was changed
    2    an option that does not exist
    3    with --check: a newer release, which fits
    4    conflicts: in the files now, or with --check, in the newer release
    130  stopped; the message says what was changed
"""

import argparse
import difflib
import fnmatch
import io
import json
import shlex
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..gitcommand import GitError, git, listed
from .merge import Merged, apply, in_the_way, merge, without
from .release import VERSION, Release, Template, address, order

FITS, CONFLICTS, STOPPED = 3, 4, 130
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
# A file that only one side has under this name, by the side's stage
RENAMED = {
    "2": "both you and the template renamed this file; this is your name",
    "3": "both you and the template renamed this file; this is the template's name",
}
RECORD, LINK = ".template-answers.json", ".cruft.json"


class Upgrade(NamedTuple):
    """What to do: from which release and answers to which."""

    old: Release
    new: Release
    answers: dict
    new_answers: dict


def options(arguments: list[str]) -> argparse.Namespace:
    about, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="upgrade", description=about, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
    parser.add_argument("--template", default="", help="the template's address: a URL for git, or a folder")
    parser.add_argument("--version", default="", help="the release to take (default: the newest)")
    parser.add_argument("--answers", default="", help="answers to change: NAME=VALUE, in quotes where it has a space")
    parser.add_argument("--made-from", default="", help="the template's commit that this was made from, if no release")
    return parser.parse_args(arguments)


# --- the team's repository --------------------------------------------------------------------------------------------


def team_repository() -> Path:
    """The folder this was started in, which must be a repository with a commit."""
    here = Path.cwd()
    try:
        top = git(here, "rev-parse", "--show-toplevel").rstrip("\n")
    except FileNotFoundError as error:
        raise UserError("An upgrade needs git; see https://git-scm.com/downloads") from error
    except GitError as error:
        raise UserError(
            "This folder is no git repository, and an upgrade needs to tell your changes from the template's. Type:"
            " git init && git add --all && git commit --message 'Start from the template'"
        ) from error
    if Path(top).resolve() != here.resolve():
        raise UserError(f"An upgrade is made at the top of a git repository, and that is {top}, not {here}.")
    try:
        git(here, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except GitError as error:
        raise UserError(
            "This repository has no commit yet. Type: git add --all && git commit --message 'Start from the template'"
        ) from error
    return here


def refuse_when_half_way(team: Path) -> None:
    """In the middle of a merge or the like, the upgrade would become a part of it."""
    halves = {"MERGE_HEAD": "merge", "rebase-merge": "rebase", "rebase-apply": "rebase"}
    halves |= {"CHERRY_PICK_HEAD": "cherry-pick", "REVERT_HEAD": "revert"}
    for name, what in halves.items():
        if (team / git(team, "rev-parse", "--git-path", name).rstrip("\n")).exists():
            raise UserError(
                f"A {what} is under way here. End it: git {what} --continue, or --abort; then: make upgrade"
            )


def committed(team: Path, path: str) -> str | None:
    try:
        return git(team, "show", f"HEAD:{path}")
    except GitError:
        return None


def parsed(text: str | None, path: str) -> dict:
    """A committed JSON file of the upgrade's; {} when there is none."""
    try:
        content = json.loads(text or "{}")
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}. An earlier one: git log --oneline -- {path}") from error
    return content if isinstance(content, dict) else {}


def settings(team: Path) -> dict:
    """[tool] of the committed pyproject.toml."""
    try:
        return tomllib.loads(committed(team, "pyproject.toml") or "").get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"pyproject.toml as committed cannot be read: {error}. It says who owns which file.") from error


def record_of(text: str | None) -> tuple[str, dict]:
    """The version this repository was made from, and the answers."""
    record = parsed(text, RECORD)
    version, answers = record.get("template_version"), record.get("answers")
    if not isinstance(version, str) or not VERSION.fullmatch(version) or not isinstance(answers, dict):
        raise UserError(
            f"{RECORD} does not say which version of the template this repository was made from, and with which"
            f" answers. The template makes that file; an earlier one: git log --oneline -- {RECORD}"
        )
    return version, answers


def left_over(team: Path) -> list[str]:
    """Committed files with both ends of a conflict of an upgrade (or of plain cruft's), and *.rej files."""
    begin, end = "^<<<<<<< ", "^>>>>>>> (template-|theirs)"
    marked = git(team, "grep", "-lzIE", "--all-match", "-e", begin, "--or", "-e", end, "HEAD", fine=(0, 1))
    rejected = git(team, "ls-files", "--cached", "--others", "-z", "--", "*.rej")
    return sorted({path.removeprefix("HEAD:") for path in listed(marked)} | set(listed(rejected)))


def unmerged(team: Path) -> dict[str, str]:
    """The files in conflict, and which sides have each: 1 is the base, 2 the team, 3 the template."""
    sides: dict[str, str] = {}
    for entry in listed(git(team, "ls-files", "--unmerged", "-z")):
        description, path = entry.split("\t", 1)
        sides[path] = sides.get(path, "") + description[-1]
    return dict(sorted(sides.items()))


def refuse_a_dirty_tree(team: Path, changed: str, asked: argparse.Namespace) -> int:
    """The tree is not as committed. After an upgrade that is as it should be: then there is nothing to do."""
    undo = f"git reset --hard {git(team, 'rev-parse', '--short', 'HEAD').strip()}"
    text = (team / RECORD).read_text(encoding="utf-8") if (team / RECORD).is_file() else None
    now, before = record_of(text), record_of(committed(team, RECORD))
    if now != before or (LINK in changed and committed(team, LINK) is None):
        if paths := unmerged(team):
            print(f"The upgrade to {now[0]} is under way, and conflicts in:\n")
            print_conflicts(team, list(paths), ownership(team), f"template-{now[0]}")
            print(f"\nUndo all of it: {undo}")
            return CONFLICTS
        wanted = {**now[1], **changed_answers(asked.answers)}
        if asked.version in ("", now[0]) and wanted == now[1]:
            print(f"Nothing to do: the upgrade to {now[0]} is in your files, and not committed yet.")
            print(f"Keep it: git add --all && {keep_command(before[0], now[0])}\nUndo it: {undo}")
            return 0
    lines = changed.rstrip("\n").split("\n")
    more = [f"... and {len(lines) - 10} more"] if len(lines) > 10 else []
    raise UserError(
        "There are changes that are not committed, and an upgrade must be able to tell them from the template's:\n\n"
        + "\n".join(f"  {line}" for line in lines[:10] + more)
        + "\n\nCommit them, or put them aside with git stash --include-untracked; then: make upgrade"
    )


# --- what to do -------------------------------------------------------------------------------------------------------


def changed_answers(text: str) -> dict[str, str]:
    """NAME=VALUE NAME='the value' as a shell reads them."""
    try:
        pairs = [part.partition("=") for part in shlex.split(text)]
    except ValueError as error:
        raise UserError(f"ANSWERS cannot be read: {error}. Write it like ANSWERS=\"NAME='the answer'\"") from error
    for name, equals, _ in pairs:
        if not equals:
            raise UserError(
                f"ANSWERS has {name!r}, which is no NAME=VALUE. An answer with spaces: ANSWERS=\"NAME='the answer'\""
            )
    return {name: value for name, _, value in pairs}


def check_answers(asked: dict[str, str], answers: dict, questions: dict) -> None:
    """Refuse what cookiecutter would pass over in silence or end in a traceback for; the hooks do the rest."""
    names = [name for name in questions if not name.startswith("_")]
    for name in asked:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"The questions are {', '.join(names)}."
            raise UserError(f"The template has no question {name}. {remedy}")
    for name in names:
        choices = questions[name]
        if isinstance(choices, list) and name in answers and answers[name] not in choices:
            quoted = " or ".join(f"ANSWERS=\"{name}='{choice}'\"" for choice in choices)
            raise UserError(
                f"{name} is {answers[name]!r}, and that is no choice in this version. Type one of: {quoted}"
            )


def made_from(template: Template, version: str, link: dict, asked: str) -> Release:
    """The commit that was rendered: the one that is linked, when it has the recorded version, else the release."""
    if asked:
        commit = template.commit(asked)
        if not commit:
            raise UserError(f"The template has no commit {asked}.")
        return Release(version, commit, commit)
    linked = link.get("commit")
    commit = template.commit(linked) if isinstance(linked, str) else None
    # A repository that plain cookiecutter wrote over has the files of another version than the linked one.
    if commit and template.questions(commit).get("__template_version") == version:
        return Release(version, commit, commit)
    if version not in template.versions():
        raise UserError(
            f"This repository was made from version {version} of the template, and the template at {template.where}"
            f" has no such release (tag v{version}). Say which of its commits it was made from:"
            " make upgrade ARGS='--made-from COMMIT'"
        )
    return template.release(version)


def plan(template: Template, team: Path, asked: argparse.Namespace, link: dict) -> Upgrade | None:
    """Nothing when this repository is at the newest release, or past it."""
    version, answers = record_of(committed(team, RECORD))
    old = made_from(template, version, link, asked.made_from)
    new = template.release(asked.version.removeprefix("v")) if asked.version else template.newest()
    if not asked.version and (order(new.version) < order(old.version) or template.contains(old.commit, new.commit)):
        new = old
    given = changed_answers(asked.answers)
    new_answers = {**answers, **given}
    check_answers(given, new_answers, template.questions(new.commit))
    if new.commit == old.commit and new_answers == answers and link.get("template") == template.where:
        return None
    return Upgrade(old, new, answers, new_answers)


def ownership(team: Path) -> Callable[[str], bool]:
    """Whether a path is the team's: it fits a pattern of [tool.upgrade] team."""
    patterns = settings(team).get("upgrade", {}).get("team", [])
    return lambda path: any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def keep_skipped(file: Path, skip: list[str]) -> None:
    """Carry what `cruft create --skip` wrote into .cruft.json over to the new one, written as cruft writes it."""
    if skip:
        link = json.loads(file.read_text(encoding="utf-8")) | {"skip": skip}
        text = json.dumps(link, ensure_ascii=False, indent=2, separators=(",", ": "))
        file.write_text(text + "\n", encoding="utf-8")


def join(team: Path, template: Template, todo: Upgrade, scratch: Path) -> tuple[Merged, dict]:
    """Render both versions and merge; also the answers that the new version was rendered with."""
    old, new = template.render((todo.old.name, todo.answers), (todo.new.name, todo.new_answers))
    answers = record_of((new / RECORD).read_text(encoding="utf-8"))[1]
    linked = parsed(committed(team, LINK), LINK).get("skip", [])
    keep_skipped(new / LINK, linked)
    for folder in (old, new):
        without(folder, linked + settings(team).get("cruft", {}).get("skip", []))
    return merge(team, old, new, f"template-{todo.new.version}", ownership(team), scratch / "merge"), answers


# --- what is told -----------------------------------------------------------------------------------------------------


def print_plan(template: Template, todo: Upgrade, answers: dict) -> None:
    if todo.new.version != todo.old.version:
        print(f"\nFrom version {todo.old.version} to {todo.new.version}.")
    elif todo.new.commit != todo.old.commit:
        print(f"\nFrom an earlier state of version {todo.old.version} to its release.")
    else:
        print(f"\nVersion {todo.old.version}, as you have it.")
    if news := template.news(todo.old, todo.new):
        print("\nWhat its CHANGELOG says:\n")
        print("\n".join(f"  {line}".rstrip() for line in news.splitlines()))
    for name, answer in answers.items():
        if name not in todo.answers:
            print(f"\nA new question: {name}. Answered with its default, {answer!r}. Another answer:")
            print(f"  make upgrade ANSWERS=\"{name}='...'\"")
        elif answer != todo.answers[name]:
            print(f"\nAn answer changes: {name} was {todo.answers[name]!r} and becomes {answer!r}.")


def print_changes(merged: Merged, owned: Callable[[str], bool]) -> None:
    print("\nWhat changes in your files:\n" if merged.changes else "\nNone of your files changes.")
    for change in merged.changes:
        owner = "yours" if owned(change.path) else "template"
        name = f"{change.was} -> {change.path}" if change.was else change.path
        lines = "CONFLICT" if change.path in merged.conflicts else change.lines
        print(f"  {change.kind:8} {owner:8} {name}  {lines}")
    if merged.stays_deleted:
        print("\nYou deleted these, and they stay deleted; the template changed them:\n")
        print("\n".join(f"  {path}" for path in merged.stays_deleted))
    if merged.kept:
        print("\nThe template no longer has these. Yours stay as they are; what nothing of yours uses, remove:\n")
        print("\n".join(f"  git rm {shlex.quote(path)}" for path in merged.kept))


def print_conflicts(team: Path, paths: list[str], owned: Callable[[str], bool], label: str) -> None:
    sides = unmerged(team)
    for path in paths:
        if sides.get(path) in RENAMED:
            print(f"  {path}  ({RENAMED[sides[path]]}: keep one, and git rm the other)")
            continue
        text = (team / path).read_text(encoding="utf-8", errors="replace") if (team / path).is_file() else ""
        marks = [str(number) for number, line in enumerate(text.splitlines(), 1) if line.startswith("<<<<<<< ")]
        where = f"line {', '.join(marks)}" if marks else "without marks: see git status"
        whose = "a file of yours: prefer your lines" if owned(path) else "a file of the template's: prefer its lines"
        print(f"  {path}  ({where}; {whose})")
    print(
        f"\nFrom <<<<<<< HEAD to ======= are your lines, from there to >>>>>>> {label} the template's. Edit until they"
        "\nare right and the marks are gone; then: git add FILE. To see them all: git diff"
        "\nThe whole file from one side, without what the other did to it: git checkout --ours FILE (yours), or"
        "\ngit checkout --theirs FILE (the template's); then: git add FILE"
    )
    if "Makefile" in paths:
        print("Until the Makefile is right, make stops with a missing separator.")


def keep_command(old: str, new: str) -> str:
    title = f"Upgrade the template to {new}" if new != old else "Update from the template"
    return f"git commit --message '{title}'"


def print_end(team: Path, merged: Merged, todo: Upgrade, owned: Callable[[str], bool]) -> int:
    keep = keep_command(todo.old.version, todo.new.version)
    if not merged.conflicts:
        print("\nDone, and not committed yet. Look at it: git diff --cached")
        print(f"Keep it: make test check && {keep}")
        return 0
    count = "1 file holds" if len(merged.conflicts) == 1 else f"{len(merged.conflicts)} files hold"
    print(f"\nCONFLICT: {count} both sides, because you and the template changed the same lines.\n")
    print_conflicts(team, merged.conflicts, owned, f"template-{todo.new.version}")
    print(f"Then keep it: make test check && {keep}")
    return CONFLICTS


# --- doing it ---------------------------------------------------------------------------------------------------------


def check(team: Path, template: Template, todo: Upgrade, scratch: Path) -> int:
    merged, answers = join(team, template, todo, scratch)
    print_plan(template, todo, answers)
    print_changes(merged, ownership(team))
    newer = f"{todo.new.version} is newer" if todo.new.version != todo.old.version else "There is something to take"
    if merged.conflicts:
        print(f"\n{newer}, and conflicts with your changes in {len(merged.conflicts)} of your files.")
        return CONFLICTS
    print(f"\n{newer}, and fits without a conflict. Take it with: make upgrade")
    return FITS


def upgrade(team: Path, template: Template, todo: Upgrade, scratch: Path) -> int:
    merged, answers = join(team, template, todo, scratch)
    owned = ownership(team)
    print_plan(template, todo, answers)
    print_changes(merged, owned)
    if paths := in_the_way(team, merged):
        raise UserError(
            "The template has new files where you have files that git ignores. Move these away, then: make upgrade\n\n"
            + "\n".join(f"  {path}" for path in paths)
        )
    if merged.tree == git(team, "rev-parse", "HEAD^{tree}").strip():
        print("\nNothing to do.")
        return 0
    if git(team, "status", "--porcelain"):
        raise UserError("Files were changed while this was looking at them. Commit the changes; then: make upgrade")
    undo = f"git reset --hard {git(team, 'rev-parse', '--short', 'HEAD').strip()}"
    print(f"\nNow it is written into your files. Undo all of it at any time before you commit: {undo}", flush=True)
    for number in (signal.SIGINT, *ENDINGS):
        signal.signal(number, signal.SIG_IGN)  # git's too: a second's work is better finished
    try:
        apply(team, merged)
    except (GitError, OSError) as error:
        raise UserError(f"The files could not all be written: {error}\nUndo what was written: {undo}") from error
    return print_end(team, merged, todo, owned)


def run(asked: argparse.Namespace) -> int:
    team = team_repository()
    if not asked.check:
        refuse_when_half_way(team)
    if not asked.check and (changed := git(team, "status", "--porcelain")):
        return refuse_a_dirty_tree(team, changed, asked)
    if paths := left_over(team):
        raise UserError(
            "These files are left from an earlier upgrade: conflict marks (<<<<<<<), or *.rej. Put them right,"
            " remove the *.rej and commit; then: make upgrade\n\n" + "\n".join(f"  {path}" for path in paths)
        )
    link = parsed(committed(team, LINK), LINK)
    where = asked.template or link.get("template")
    if not where:
        raise UserError(
            "This repository does not know yet where its template is. Say it once:"
            " make upgrade TEMPLATE=https://.../cookiecutter-polyaxon-argo-seldon (or a folder with a clone of it)"
        )
    where = address(where)
    scratch = Path(tempfile.mkdtemp(prefix="upgrade-"))
    try:
        print(f"Asking {where} for its releases ...", flush=True)
        template = Template(where, scratch)
        todo = plan(template, team, asked, link)
        if todo is None:
            print(f"Up to date: version {record_of(committed(team, RECORD))[0]} of the template at {where}.")
            return 0
        return (check if asked.check else upgrade)(team, template, todo, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def stop(number: int, _) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    asked = options(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    for number in ENDINGS:
        signal.signal(number, stop)
    try:
        return run(asked)
    except (UserError, GitError) as error:
        sys.stdout.flush()
        print(f"{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing was changed.", file=sys.stderr)
        return STOPPED
