"""`make doctor`: what is here, what is missing and for which verb, and the command that helps.

Exit code 0 when the laptop path works (make setup pipeline), 1 when it does not. Standard library only, and run by
any Python 3: it is typed where nothing is installed yet.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

WAIT = 10  # seconds that a program has to answer
CONTAINERS = ("docker", "podman", "buildah")
SETUP = "make setup"


def ask(*command: str) -> str | None:
    """Return the first line that a program prints; None when it is missing, fails, says nothing or takes too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").partition("\n")[0].strip() or None


def python_of(folder: str, modules: str) -> str | None:
    """Return the version of an environment's Python, when it is whole and has these modules."""
    if (Path(folder) / ".unfinished").exists():
        return None
    program = f"""import importlib.util, platform, sys
print("Python", platform.python_version())
sys.exit(not all(map(importlib.util.find_spec, {modules.split()})))"""
    return ask(f"{folder}/bin/python", "-c", program)


def any_python() -> str | None:
    names = ("python3.13", "python3.12", "python3.11", "python3")
    return next((said for name in names if re.match(r"Python 3\.1[123]\.", said := ask(name, "--version") or "")), None)


def builder() -> str | None:
    """Return the first program that can build an image here; its client alone cannot, so its engine is asked."""
    return next((name for name in CONTAINERS if shutil.which(name) and ask(name, "info")), None)


def polyaxon_host() -> str | None:
    """Return the address that `polyaxon config set` noted, or the environment's."""
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: no home
        noted = json.loads((Path.home() / ".polyaxon/.client").read_text(encoding="utf-8")).get("POLYAXON_HOST")
        return os.environ.get("POLYAXON_HOST") or noted
    return os.environ.get("POLYAXON_HOST")


def look(venv: str, serving_venv: str) -> list[tuple[str, str | None, str, str]]:
    """Return what the verbs need, in their order: what, what was found, for which verbs, the command that helps."""
    engine = next(filter(shutil.which, CONTAINERS), None)
    start = f"{engine} info says why it does not answer" if engine else "https://docs.docker.com/engine/install/"
    return [
        ("Python 3.11 to 3.13", any_python() or python_of(venv, ""), "all", "https://www.python.org/downloads/"),
        ("git", ask("git", "--version"), "all", "https://git-scm.com/downloads"),
        ("make", ask("make", "--version"), "all", "apt install make"),
        (venv, python_of(venv, "click numpy sklearn torch polyaxon onnx"), "all", SETUP),
        (serving_venv, python_of(serving_venv, "seldon_core onnxruntime uvicorn"), "serve, pipeline", SETUP),
        ("a git repository", ask("git", "rev-parse", "--show-toplevel"), "lint, hooks, upgrade",
         "git init -b main && git add --all"),
        ("docker, podman, buildah", builder(), "images, push, model-image", start),
        ("gcloud", ask("gcloud", "--version"), "login, deploy", "https://cloud.google.com/sdk/docs/install"),
        ("kubectl", ask("kubectl", "version", "--client"), "deploy, canary", "https://kubernetes.io/docs/tasks/tools/"),
        ("kubectl's context", ask("kubectl", "config", "current-context"), "deploy, canary",
         "gcloud container clusters get-credentials (guide: Connect to the cluster)"),
        ("Polyaxon's host", polyaxon_host(), "the cluster",
         "polyaxon config set --host=... (guide: Connect to the cluster)"),
    ]  # fmt: skip


def main() -> int:
    needs = look(os.environ.get("VENV", ".venv"), os.environ.get("SERVING_VENV", ".venv-serving"))
    for what, found, verbs, remedy in needs:
        print(f"{'ok' if found else 'MISSING':8}{what:24}  {found or f'for: {verbs}. Type or see: {remedy}'}")
    laptop = all(found for _, found, verbs, remedy in needs if verbs == "all" or remedy == SETUP)
    print("The laptop path works: make pipeline" if laptop else "The laptop path does not work yet: see MISSING above.")
    return not laptop


if __name__ == "__main__":
    sys.exit(main())
