"""Remove the folders that an answer left empty, and print the next commands.

An update tool renders the template twice in a temporary folder and runs this too: so it uses no git and no network.
"""

import contextlib
import os
import shlex
import sys

# All files in these folders have conditional names. A folder's own name cannot have a condition.
MAYBE_EMPTY = (
    ".github/workflows", ".github/ISSUE_TEMPLATE", ".github",
    ".gitlab/issue_templates", ".gitlab/merge_request_templates", ".gitlab",
    "tests/images",
)  # fmt: skip


def next_commands(folder: str) -> list[str]:
    """Return the three lines to type, ready for a POSIX shell."""
    return [
        f"cd {shlex.quote(folder)}",
        "git init -b main && git add --all && git commit --message 'Start from the template'",
        "make setup pipeline",
    ]


def remove_empty_folders() -> None:
    for folder in MAYBE_EMPTY:
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def show(text: str) -> None:
    """Print the text as well as the terminal can. A failure here would make cookiecutter remove the repository."""
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    with contextlib.suppress(OSError):
        os.write(1, text.encode(encoding, "backslashreplace"))  # print would fail once more when Python exits


def main() -> None:
    remove_empty_folders()
    folder = os.getcwd()  # cookiecutter runs this in the folder it made
    commands = "".join(f"  {line}\n" for line in next_commands(folder))
    show(f"{os.path.basename(folder)} is in {folder}. Next:\n\n{commands}")


if __name__ == "__main__":
    main()
