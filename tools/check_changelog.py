"""Says whether what teams get has changed without an entry in CHANGELOG.md.

    python tools/check_changelog.py [BASE]

The working tree is compared with BASE; without one, with where this branch left main, and on main with the last
release. Both are rendered, with every choice of every question, so a change that no team would see needs no entry.
Exit code 0: nothing is missing, or NOT CHECKED (the output says why). 1: an entry is missing.
"""

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"## (\d+\.\d+\.\d+) \((\d{4}-\d{2}-\d{2}|unreleased)\)")
MUST_DO = "What you must do: "


class NotChecked(Exception):
    """Why there is nothing to compare with."""


def git(*arguments: str) -> bytes | None:
    """What git says, or nothing when it says no."""
    done = subprocess.run(["git", *arguments], cwd=TEMPLATE, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def line(*arguments: str) -> str:
    return (git(*arguments) or b"").decode().strip()


def base() -> str:
    """The commit to compare with."""
    if not line("rev-parse", "--verify", "--quiet", "HEAD"):
        raise NotChecked("this is no git repository with a commit")
    shallow = line("rev-parse", "--is-shallow-repository") == "true"
    release = line("describe", "--tags", "--abbrev=0", "--match=v[0-9]*")
    if not release:
        more = "; this clone is shallow: git fetch --unshallow --tags" if shallow else ""
        raise NotChecked(f"there is no release yet (no tag v1.2.3) that this was made from{more}")
    head = line("rev-parse", "HEAD")
    for main in ("origin/main", "main"):
        left = line("merge-base", "HEAD", main)
        if left and left != head:
            # What left main before the last release is compared with the release.
            return left if git("merge-base", "--is-ancestor", release, left) is not None else release
    return release


def checked_out(commit: str, folder: Path) -> Path:
    """The template as of a commit, in a new folder."""
    archive = git("archive", "--format=tar", f"{commit}^{{commit}}")
    if archive is None:
        raise NotChecked(f"{commit} is not a commit here")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def choices(template: Path) -> list[dict[str, str]]:
    """Answers that together hold every choice of every question."""
    questions = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    several = {name: options for name, options in questions.items() if name[0] != "_" and isinstance(options, list)}
    count = max([1, *map(len, several.values())])
    return [{name: options[turn % len(options)] for name, options in several.items()} for turn in range(count)]


def rendered(template: Path, output: Path) -> dict[str, bytes]:
    """Every file of every render, the template's own version left out."""
    settings = output / "settings.yaml"
    output.mkdir()
    settings.write_text(f"cookiecutters_dir: {output}\nreplay_dir: {output / 'replay'}\n", encoding="utf-8")
    files = {}
    for turn, answers in enumerate(choices(template)):
        made = Path(
            cookiecutter(
                str(template),
                no_input=True,
                extra_context=answers | {"__template_version": "0.0.0"},
                output_dir=output / str(turn),
                config_file=settings,
                accept_hooks=False,  # they check answers, and say what to type next
            )
        )
        for path in sorted(made.rglob("*")):
            if path.is_file():
                executable = b"x" if path.stat().st_mode & 0o100 else b"-"
                files[f"{turn}/{path.relative_to(made)}"] = executable + path.read_bytes()
    return files


def sections(changelog: str) -> dict[str, list[str]]:
    """The lines under each version's heading, without the empty ones."""
    found: dict[str, list[str]] = {}
    version = None
    for text in changelog.splitlines():
        if text.startswith("## "):
            heading = HEADING.fullmatch(text)
            version = heading[1] if heading else text
            found[version] = []
        elif version and text.strip():
            found[version].append(text.strip())
    return found


def faults(changelog: str) -> Iterator[str]:
    """What keeps a team from reading CHANGELOG.md, and `make upgrade` from showing it."""
    headings = [text for text in changelog.splitlines() if text.startswith("## ")]
    found = [HEADING.fullmatch(text) for text in headings]
    for text, heading in zip(headings, found, strict=True):
        if not heading:
            yield f'"{text}" is not like "## 1.2.0 (2026-12-01)" or "## 1.2.0 (unreleased)"'
    versions = [tuple(map(int, heading[1].split("."))) for heading in found if heading]
    if versions != sorted(set(versions), reverse=True):
        yield "the newest version is not first, or one is there twice"
    if any(heading and heading[2] == "unreleased" for heading in found[1:]):
        yield "only the first version can be unreleased"
    for version, lines in sections(changelog).items():
        if not any(text.startswith("- ") for text in lines):
            yield f'{version} does not say what changes in a team\'s repository: lines that begin with "- "'
        if not any(text.startswith(MUST_DO) for text in lines):
            yield f'{version} does not say "{MUST_DO}...", which may be: nothing'


def version_of(template: Path) -> str:
    return tomllib.loads((template / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def missing(commit: str) -> list[str]:
    """The sentences that say which entry is missing; none when nothing is."""
    with tempfile.TemporaryDirectory() as work:
        old = checked_out(commit, Path(work) / "old")
        before, now = rendered(old, Path(work) / "before"), rendered(TEMPLATE, Path(work) / "now")
        changed = {name.partition("/")[2] for name in before | now if before.get(name) != now.get(name)}
        if not changed:
            return []
        version = version_of(TEMPLATE)
        told = sections((TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8")).get(version, [])
        known = sections((old / "CHANGELOG.md").read_text(encoding="utf-8")).get(version, [])
        files = "\n".join(f"  {name}" for name in sorted(changed)[:20]) + ("\n  ..." if len(changed) > 20 else "")
    if line("rev-parse", "--verify", "--quiet", f"refs/tags/v{version}^{{commit}}"):
        return [
            f"Version {version} is released, and since {commit[:10]} these files of a team's change:\n{files}",
            "Raise the version (CONTRIBUTING.md says where), and say in CHANGELOG.md what changes for a team.",
        ]
    if not [text for text in told if text.startswith("- ") and text not in known]:
        return [
            f"Since {commit[:10]} these files of a team's change, and CHANGELOG.md says nothing new:\n{files}",
            f'Add a line "- ..." under "## {version}", in the words of a team that will read it.',
        ]
    return []


def main(arguments: list[str]) -> int:
    wrong = [f"CHANGELOG.md: {fault}." for fault in faults((TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8"))]
    try:
        commit = arguments[0] if arguments else base()
        wrong += missing(commit)
    except NotChecked as reason:
        print(f"NOT CHECKED whether a change has its entry in CHANGELOG.md: {reason}.")
    else:
        if not wrong:
            print(f"CHANGELOG.md tells what has changed for a team since {commit[:10]}.")
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
