"""Write the hashes of a team's serving-requirements.txt from PyPI's own index.

    python tools/lock_serving.py [--check]

Change a version in the list by hand, with its reason, then run this. It keeps every comment and every
version, and replaces the hashes by those PyPI publishes for the files that Python 3.11 on Linux (glibc,
x86_64 or aarch64) or macOS would install: wheels, and the source archive only where a platform has no wheel.
With --check nothing is written and the exit code says whether the list is current. Needs `packaging`.
"""

import json
import re
import sys
import urllib.request
from pathlib import Path

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

LIST = Path(__file__).parents[1] / "{{cookiecutter.repo_name}}" / "serving-requirements.txt"
INDEX = "https://pypi.org/simple/{}/"
PYTHON = (3, 11)
PLATFORMS = {  # what a platform's wheels are tagged with
    "Linux x86_64": re.compile(r"manylinux.*_x86_64|linux_x86_64"),
    "Linux aarch64": re.compile(r"manylinux.*_aarch64|linux_aarch64"),
    "macOS arm64": re.compile(r"macosx_.*_(arm64|universal2)"),
    "macOS x86_64": re.compile(r"macosx_.*_(x86_64|universal2|intel)"),
}
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s\\;]+)")


def fits_python(tag) -> bool:
    """Whether a wheel's interpreter and ABI tags let it run on CPython 3.11."""
    if tag.abi == "none":
        return tag.interpreter in ("py3", f"py{PYTHON[0]}{PYTHON[1]}", f"cp{PYTHON[0]}{PYTHON[1]}")
    found = re.fullmatch(r"cp3(\d+)", tag.interpreter)
    minor = int(found[1]) if found else -1
    return 2 <= minor <= PYTHON[1] if tag.abi == "abi3" else tag.interpreter == tag.abi == "cp311"


def platforms_of(filename: str) -> set:
    """The platforms among PLATFORMS that would take this wheel."""
    tags = [tag for tag in parse_wheel_filename(filename)[3] if fits_python(tag)]
    return {
        name
        for name, pattern in PLATFORMS.items()
        for tag in tags
        if tag.platform == "any" or pattern.search(tag.platform)
    }


def hashes(name: str, version: str) -> list:
    """The sha256 of each file of this release that one of the platforms would install, sorted."""
    request = urllib.request.Request(
        INDEX.format(canonicalize_name(name)), headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    covered, found, sources = set(), [], []
    for file in files:
        filename = file["filename"]
        try:
            if filename.endswith(".whl"):
                if parse_wheel_filename(filename)[1] == Version(version) and (fits := platforms_of(filename)):
                    covered |= fits
                    found.append(file["hashes"]["sha256"])
            elif filename.endswith((".tar.gz", ".zip")) and parse_sdist_filename(filename)[1] == Version(version):
                sources.append(file["hashes"]["sha256"])
        except ValueError:  # a file name of another age: never the release that is pinned here
            continue
    if missing := set(PLATFORMS) - covered:
        print(f"{name}=={version}: no wheel for {', '.join(sorted(missing))}", file=sys.stderr)
        found += sources
    if not found:
        raise SystemExit(f"{name}=={version}: PyPI has no file of this release for Python 3.11. Is the version right?")
    return sorted(found)


def lock(text: str) -> str:
    """The same list with the hashes of today's index."""
    lines = []
    for line in text.splitlines():
        if line.strip().startswith("--hash="):
            continue
        pin = None if line.startswith("#") else PIN.match(line)
        if pin is None:
            lines.append(line)
            continue
        digests = [f"    --hash=sha256:{digest}" for digest in hashes(pin[1], pin[2])]
        lines.append(f"{pin[0]} \\\n" + " \\\n".join(digests))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    before = LIST.read_text(encoding="utf-8")
    after = lock(before)
    if "--check" in sys.argv[1:]:
        raise SystemExit(
            None if after == before else f"{LIST.name}: the hashes are not those of PyPI; run tools/lock_serving.py"
        )
    LIST.write_text(after, encoding="utf-8")
