"""What there is to do by hand, because no merge sees it."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..gitcommand import listed
from .merge import Merged, Scratch, Tree, gone

PIN = re.compile(r"""(?m)^[\s"'-]*([\w.-]+)(?:\[.*?\])?==""")


def uses(path: str) -> re.Pattern:
    """Return the pattern of what uses a file: its path, or as a module its name, alone or imported from its package."""
    module = re.fullmatch(r"src/(\w+(?:/\w+)*?)/(\w+?)(/__init__)?\.py", path)
    if not module:
        return re.compile(rf"(?<![\w./-]){re.escape(path)}(?![\w/-])")
    package, name = module[1].replace("/", r"\."), module[2]
    return re.compile(rf"\b{package}\.{name}\b|\bfrom\s+{package}\s+import\s+(\([^)]*?|[^\n(]*?)\b{name}\b")


def still_used(scratch: Scratch, merged: Merged, base: Tree, new: Tree) -> Iterator[str]:
    """Say which lines of the team's use a file that the release removed or renamed."""
    missing = {path: now for path, now in gone(scratch, base, new).items() if path not in merged.tree}
    words = [word for path in missing for word in ("-e", Path(path.replace("/__init__.py", "")).stem)]
    found = listed(scratch.git("grep", "-lzIF", *words, scratch.write(merged.tree), fine=(0, 1))) if words else []
    for path in (name.partition(":")[2] for name in found):
        text = scratch.text(merged.tree[path])
        lines, templates = text.splitlines(), scratch.text(new[path]).splitlines() if path in new else []
        for old, now in missing.items():
            for number in {text.count("\n", 0, use.end()) for use in uses(old).finditer(text)}:
                if lines[number] not in templates and path not in merged.conflicts:
                    is_now = f"is {now} now" if now else "the template no longer has"
                    yield f"{path}:{number + 1} uses {old}, which {is_now}"


def pinned_twice(scratch: Scratch, merged: Merged, team: Tree, new: Tree) -> Iterator[str]:
    """Say which libraries both sides pinned, in lines of their own."""
    for path in merged.tree.keys() & team.keys() & new.keys() - merged.conflicts.keys():
        if merged.tree[path] not in (team[path], new[path]) and path.endswith((".toml", ".txt", ".yml")):
            both, ours, theirs = (Counter(PIN.findall(scratch.text(side[path]))) for side in (merged.tree, team, new))
            yield from (f"{path} pins {library} twice: keep one of the lines" for library in both - (ours | theirs))
