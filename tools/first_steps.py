"""Offer the first steps in a new repository: git with a first commit, and `make setup`."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import interview

COMMIT = ["commit", "--quiet", "--message", "Start from the template"]
# Variables of git's own hooks, and of the make above us, that would act on another repository or with other options
FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS", "OUT", "VENV")


def call(folder: Path, *command: str, **options) -> bool:
    """Run a command in the repository as a person would type it; tell whether it succeeded."""
    environment = {name: value for name, value in os.environ.items() if name not in (*FOREIGN, *OF_MAKE)}
    return subprocess.run(command, cwd=folder, env=environment, check=False, **options).returncode == 0


def has_identity(folder: Path) -> bool:
    """Tell whether git knows who commits, without a guess from the machine's name."""
    who = ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT")
    return all(call(folder, "git", "-c", "user.useConfigOnly=true", "var", one, capture_output=True) for one in who)


def start_git(folder: Path, ask: interview.Screen | interview.Lines) -> str | None:
    """Offer git. Return the command that remains to be typed, if any."""
    if (folder / ".git").exists():
        return None
    typed = f"git init -b main && git add --all && {shlex.join(['git', *COMMIT])}".replace(" --quiet", "")
    if not shutil.which("git"):
        interview.say("git is not installed, so that there is no first commit.")
        return typed
    outer = next((parent for parent in folder.parents if (parent / ".git").exists()), None)
    inside = f" It is inside another git repository, {outer}, which would not hold its files." if outer else ""
    named = has_identity(folder)
    if_yes = f"Yes: git init -b main{', and a first commit' if named else ' (no commit: git does not know your name)'}"
    if not interview.yes(ask, f"Make a git repository of it?{inside}", if_yes, "No", not outer):
        return None if outer else typed
    if not call(folder, "git", "init", "--quiet", "-b", "main"):
        return typed
    if not named:
        interview.say("Say who you are: git config --global user.name ..., and user.email")
    # With the person's own signing and hooks: their commits are meant to have them, and git says why it refuses.
    elif call(folder, "git", "add", "--all") and call(folder, "git", *COMMIT):
        return None
    else:
        interview.say("git made no first commit, for the reason above. Nothing else is missing.")
    return typed.partition(" && ")[2]


def first_steps(folder: Path, ask: interview.Screen | interview.Lines) -> int:
    """Offer the commands that the hook has printed, and print what remains. Return an exit code."""
    remaining = [f"cd {shlex.quote(str(folder))}"]
    remaining += filter(None, [start_git(folder, ask)])
    setup = "Install what it needs now? It downloads some 450 MB; with an NVIDIA GPU, 3 GB more."
    failed = ready = False
    if interview.yes(ask, setup, "Yes: make setup", "No, later", False):
        ready = call(folder, "make", "setup")
        failed = not ready
    if failed:
        interview.say("make setup failed, for the reason above. Nothing else is missing: type it again.")
    print("\nNext:\n")
    for line in [*remaining, "make pipeline" if ready else "make setup pipeline"]:
        print(f"  {line}")
    return int(failed)
