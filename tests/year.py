"""A year of a template: twelve releases, five teams that go their own ways, and what each must have after an upgrade.

The oracle knows no merge. A text is a row of slots, so far apart that git sees each for itself, and a file has a key
that it keeps through every rename. What a team must have is computed slot by slot: its own change, or the template's.
"""

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from releases import Small, git

SLOTS = 12
VERSIONS = [f"1.{month}.0" for month in range(12)]
BINARY = b"\x89PNG\r\n\0"
OWNED = ("src/team/*", "tests/*")
WINDOWS = ("src/team/data.py", 9)  # has the line ends of another system before this release
Content = Any  # the states of the slots by number, or bytes


class File(NamedTuple):
    """What somebody has for a key: under which path, and what is in it."""

    path: str
    content: Content


Files = dict[str, File]
START = ["Makefile", "config.yml", "tools/check.py", "tools/old.py", "docs/guide.md", "docs/faq.md"]
START += ["src/mlops/runs.py", "src/mlops/client.py", "src/team/model.py", "src/team/data.py", "tests/test_client.py"]


def plain() -> Content:
    return dict.fromkeys(range(SLOTS), 0)


def written(key: str, content: Content, month: int) -> bytes:
    """Return the bytes of a file at a release. No two files have a line with words in common."""
    if isinstance(content, bytes):
        return content
    name = key.replace("/", " ").replace(".", " ")
    lines = (
        f"# {name} slot {n}\nvalue_{n} = {content[n]!r}\n# the end of slot {n} of {name}\n\n" for n in range(SLOTS)
    )
    text = "".join(lines)
    return (text.replace("\n", "\r\n") if key == WINDOWS[0] and month < WINDOWS[1] else text).encode()


def template_at(month: int) -> Files:
    """The files of the template after so many releases, but for those that show the answers."""
    files = {path: File(path, plain()) for path in START} | {"picture.png": File("picture.png", BINARY + b"first")}

    def change(key: str, *slots: int) -> None:
        files[key].content.update(dict.fromkeys(slots, f"template {month_of_it}"))

    def move(key: str, path: str) -> None:
        files[key] = files[key]._replace(path=path)

    for month_of_it in range(1, month + 1):
        match month_of_it:
            case 1:
                change("Makefile", 1)
            case 2:  # a rename
                move("tools/check.py", "tools/verify.py")
            case 3:  # a folder that moves
                move("docs/guide.md", "manual/guide.md")
                move("docs/faq.md", "manual/faq.md")
            case 4:  # a removed tool
                del files["tools/old.py"]
            case 7:  # a raised pin; questions change in 5, 6 and 7
                change("config.yml", 4)
                change("src/mlops/runs.py", 5)
            case 8:  # a new example
                files["src/team/example.py"] = File("src/team/example.py", plain())
            case 9:  # line ends
                files[".gitattributes"] = File(".gitattributes", b"* text=auto eol=lf\n*.png binary\n")
            case 10:  # binary files
                files["other.png"] = File("other.png", BINARY + b"other")
                files["picture.png"] = File("picture.png", BINARY + b"2")
            case 11:
                change("src/mlops/runs.py", 2, 7)
                change("Makefile", 1)
                change("src/team/model.py", 0)
    return files


def questions_at(month: int) -> dict:
    asked: dict = {"project_name": "Small", "repo_name": "small", "region": "asia", "ci": ["github", "gitlab", "none"]}
    if month >= 5:
        asked["backup"] = "no backup"
    if month >= 6:
        asked = {("place" if name == "region" else name): value for name, value in asked.items()}
        asked["_renamed_questions"] = {"region": "place"}
    if month >= 7:
        asked["ci"] = ["github", "gitlab", "forgejo", "none"]
    return asked | {"__template_version": VERSIONS[month]}


def answers_at(month: int, answers: dict[str, str]) -> dict[str, str]:
    """The answers to the questions of a release; `answers` is by the names of the first one."""
    asked = {name: value for name, value in questions_at(month).items() if not name.startswith("_")}
    first = {"place": "region"}
    chosen = {name: value[0] if isinstance(value, list) else value for name, value in asked.items()}
    return {name: answers.get(first.get(name, name), value) for name, value in chosen.items()}


def make_year(folder: Path) -> Small:
    """Make the template with its releases."""
    releases = Small(folder)
    git(folder, "tag", "--delete", "v1.0.0")
    for month, version in enumerate(VERSIONS):
        for path in git(folder, "ls-files", "-z", releases.root.name).split("\0")[:-1]:
            if not path.endswith(".template-answers.json"):
                (folder / path).unlink()
        releases.write_questions(questions_at(month))
        shown = [name for name in questions_at(month) if not name.startswith("_")]
        releases.write("answers.txt", "".join(f"{{{{ cookiecutter.{name} }}}}\n" for name in shown))
        releases.write("pyproject.toml", f"[tool.upgrade]\nteam = {list(OWNED)}\n")
        for key, file in template_at(month).items():
            (releases.root / file.path).parent.mkdir(parents=True, exist_ok=True)
            (releases.root / file.path).write_bytes(written(key, file.content, month))
        releases.release(version, f"- Month {month}.")
    return releases


@dataclass
class Team:
    """What a team did: to the files of the template by their key, and what it added."""

    answers: dict[str, str] = field(default_factory=dict)
    edits: dict[str, dict[int, object]] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    added: dict[str, bytes] = field(default_factory=dict)

    def start(self, month: int) -> Files:
        """What the team has before its first upgrade."""
        files = {key: file for key, file in template_at(month).items() if key not in self.deleted}
        for key, edit in self.edits.items():
            if key in files:
                files[key] = files[key]._replace(content=files[key].content | edit)
        for key, path in self.renamed.items():
            files[key] = files[key]._replace(path=path)
        return files | {path: File(path, content) for path, content in self.added.items()}


TEAMS = {
    "quiet": Team(),
    "edits": Team(
        answers={"region": "europe", "ci": "gitlab"},
        edits={path: {10: "ours"} for path in START if path != "tools/old.py"},
        added={"src/team/ours.py": b"OURS = 1\n", "docs/ours.md": b"ours\n"},
    ),
    "deletes": Team(
        edits={"tools/old.py": {5: "ours"}},
        deleted=("docs/faq.md", "src/team/model.py", "picture.png"),
        added={"tools/new tool.py": b"print('ours')\n", "na\u00efve.txt": b"ours, in a strange place\n"},
    ),
    "renames": Team(
        answers={"ci": "none"},
        renamed={"src/team/data.py": "src/team/input.py", "Makefile": "build/Makefile"},
        edits={"src/team/data.py": {3: "ours", 9: "ours"}, "docs/guide.md": {0: "ours"}},
    ),
    "conflicts": Team(
        edits={"Makefile": {1: "ours"}, "config.yml": {4: "ours"}, "src/mlops/runs.py": {2: "ours", 10: "ours"}},
        added={"src/team/example.py": b"EXAMPLE = 'ours'\n", "other.png": BINARY + b"ours"},
    ),
}


class Expected(NamedTuple):
    """What a team must have: without conflicts, or with its own side of each; and which keys are in conflict."""

    files: Files
    conflicts: dict[str, list[int]]  # the slots; none of a binary file


def upgraded(files: Files, old: int, new: int) -> Expected:
    base, target = template_at(old), template_at(new)
    expected: Files = {}
    conflicts: dict[str, list[int]] = {}
    for key in {*files, *target}:
        have, was, now = files.get(key), base.get(key), target.get(key)
        if was is None:
            if file := have or now:
                expected[key] = file
            if have and now and have != now:
                conflicts[key] = []
        elif have is not None and now is None:
            owned = any(fnmatchcase(have.path, pattern) for pattern in OWNED)
            expected |= {key: have} if have != was or owned else {}
        elif have is not None and now is not None:
            path = have.path if have.path != was.path else now.path
            content, slots = join(have.content, was.content, now.content)
            expected[key] = File(path, content)
            conflicts |= {key: slots} if slots is not None else {}
    return Expected(expected, conflicts)


def join(have: Content, was: Content, now: Content) -> tuple[Content, list[int] | None]:
    """Return the content, with the team's side where both changed it, and the slots in conflict."""
    if was in (have, now):
        return (now, None) if have == was else (have, None)
    if not all(isinstance(content, dict) for content in (have, was, now)):
        return have, []
    slots = [n for n in range(SLOTS) if have[n] != was[n] != now[n] != have[n]]
    return {n: have[n] if have[n] != was[n] else now[n] for n in range(SLOTS)}, slots or None


def chains(count: int) -> list[tuple[str, list[int]]]:
    """Return random ways through the year: a team, and the releases that it takes."""
    chance = random.Random(20)
    names = sorted(TEAMS)
    return [(names[n % len(names)], sorted(chance.sample(range(12), chance.randint(3, 6)))) for n in range(count)]
