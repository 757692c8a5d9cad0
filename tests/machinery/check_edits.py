"""Say of each edit whether `make check` passes, and of Polyaxonfiles what Polyaxon makes of them.

`python check_edits.py REPOSITORY` runs in the repository's working environment, with its src on PYTHONPATH. It reads a
list of edits from standard input, as JSON, and writes a list of answers.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from digit_reader.__main__ import TEAM
from mlops import cli, project
from mlops.platform import check

# Those that read the part; what the others say does not depend on it
CHECKS = {
    "k8s": ("kubernetes", "names"), "argo": ("argo", "names"), "seldon": ("seldon", "kubernetes", "names"),
    "polyaxon": ("polyaxonfiles", "names"),
}  # fmt: skip
FILES = project.POLYAXON / "polyaxonfiles"


def copied(repository: Path, folder: Path) -> Path:
    for name in ("aisg-context", "docker", "src"):
        shutil.copytree(repository / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", folder)
    return folder


def checked(root: Path, part: str) -> tuple[bool, str]:
    """Return whether `make check` passes, and what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        good = check.run(root, CHECKS[part], cli.stages(TEAM))
    return good, said.getvalue()


def compiled(root: Path, edited: Path) -> dict:
    """Return the pods that Polyaxon itself, without our strictness, makes of an edited file, or why it refuses it."""
    from mlops.platform import compilation  # takes seconds
    from polyaxon._deploy.reader import read
    from polyaxon._polyaxonfile.specs.libs import engine

    ours, engine.get_engine = engine.get_engine, compilation._lenient_engine
    try:
        read(str(root / project.POLYAXON / "polyaxon-config.yml"))
        compilation.use_platform(root)
        own = (root / edited).parent == root / FILES
        files = [root / edited] if own else sorted((root / FILES).glob("*.yml"))
        presets = (root / edited,) if edited.parent.name == "presets" else ()
        pods = []
        for path in files if not presets else [root / FILES / "train.yml"]:
            operation = compilation.read(path, presets=presets)
            for _, run in compilation.one_of_each(operation):
                pods += compilation.pods(run, project.name(root))
        return {"pods": pods}
    except Exception as error:  # Polyaxon has no one exception for a file that is wrong
        return {"refused": ": ".join(filter(None, compilation.explain(error))) or repr(error)}
    finally:
        engine.get_engine = ours


def main() -> None:
    os.environ["CI"] = "true"  # a check that cannot run is a failure
    yaml.SafeLoader = yaml.CSafeLoader  # the same, five times as fast: each check reads all files again
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(sys.argv[1]), Path(folder))
        for edit in json.load(sys.stdin):
            path = root / edit["path"]
            text = path.read_text(encoding="utf-8")
            path.write_text(edit["text"], encoding="utf-8")
            good, said = checked(root, edit["part"])
            made = compiled(root, Path(edit["path"])) if edit["part"] == "polyaxon" else {}
            answers.append({"good": good, "said": said, **made})
            path.write_text(text, encoding="utf-8")
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
