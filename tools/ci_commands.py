"""The commands in a repository's CI file, run one after the other in a clean checkout as CI would, but for the cloud.

    python tools/ci_commands.py ../digit-reader           (job: check)
    python tools/ci_commands.py ../digit-reader images

VENV and SERVING_VENV, where they are set, are environments to use in place of new ones.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

GITHUB, GITLAB = Path(".github/workflows/ci.yml"), Path(".gitlab-ci.yml")


def commands(repository: Path, job: str) -> list[str]:
    """Return the commands of a job in the CI file, in order; on GitHub, without steps that have a condition."""
    if (repository / GITHUB).is_file():
        steps = yaml.safe_load((repository / GITHUB).read_text(encoding="utf-8"))["jobs"][job]["steps"]
        return [step["run"] for step in steps if "run" in step and "if" not in step]
    return yaml.safe_load((repository / GITLAB).read_text(encoding="utf-8"))[job]["script"]


def run(repository: Path, job: str) -> int:
    """Run a job's commands in a clone of the repository; gives the exit code of the first that fails."""
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        checkout = Path(folder) / repository.resolve().name
        subprocess.run(["git", "clone", "--quiet", "--depth=1", repository.resolve().as_uri(), checkout], check=True)
        for command in commands(repository, job):
            print(f"\n--- {command}", flush=True)
            began = time.monotonic()
            words = ["bash", "-e", "-o", "pipefail", "-c", command]
            code = subprocess.run(words, cwd=checkout, env=os.environ | {"CI": "true"}, check=False).returncode
            print(f"--- {'ok' if not code else f'exit code {code}'}, {time.monotonic() - began:.0f} s", flush=True)
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), *(sys.argv[2:] or ["check"])))
