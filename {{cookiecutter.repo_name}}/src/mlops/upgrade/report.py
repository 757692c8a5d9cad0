"""What is told of an upgrade: what it changes, its conflicts, and how to keep or undo it."""

import shlex

from ..gitcommand import listed
from .merge import Merged, Scratch, sides
from .team import Team, record_of
from .write import RECORD, UNDO


def show(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}\n\n" + "\n".join(f"  {line}".rstrip() for line in lines))


def show_changes(scratch: Scratch, before: str, merged: Merged, notes: list[str]) -> None:
    after = scratch.write(merged.tree)
    stat = ("diff", "--compact-summary", "--stat=110", "--find-renames", before, after, "--")
    show("What changes in your files:", scratch.git(*stat, ".", ":!src/mlops").splitlines())
    machinery = scratch.git("diff", "--shortstat", before, after, "--", "src/mlops").splitlines()
    show("What changes in src/mlops, the template's machinery:", machinery)
    show("You deleted these, and they stay deleted; the template changed them:", merged.stays_deleted)
    removable = [f"git rm {shlex.quote(path)}" for path in merged.kept]
    show("The template no longer has these. Yours stay; what nothing of yours uses, remove:", removable)
    show("To do by hand, because no merge sees it:", notes)


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


def show_state(team: Team) -> bool:
    """Say what is in the files and not committed yet; return whether there are conflicts."""
    conflicts = sides(listed(team.git("ls-files", "--unmerged", "-z", "--", ".")))
    version = record_of((team.folder / RECORD).read_text(encoding="utf-8"))[0]
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
