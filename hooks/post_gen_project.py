"""Says where the repository is and what to type next. It changes nothing but folders that an answer left empty.

An update tool renders the template twice in a temporary folder and runs this too: hence no git and no network here.
"""

import json
import os
import shlex

# Whose files all have conditional names: a folder's own name cannot have a condition.
MAYBE_EMPTY = (
    ".github/workflows", ".github/ISSUE_TEMPLATE", ".github",
    ".gitlab/issue_templates", ".gitlab/merge_request_templates", ".gitlab",
)  # fmt: skip
CONTEXT = r'''{{ cookiecutter | tojson }}'''  # fmt: skip


def next_commands(folder: str) -> list[str]:
    """The three lines to type, ready for a POSIX shell."""
    return [
        f"cd {shlex.quote(folder)}",
        "git init && git add --all && git commit --message 'Start from the template'",
        "make setup pipeline",
    ]


def remove_empty_folders() -> None:
    for folder in MAYBE_EMPTY:
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def main() -> None:
    remove_empty_folders()
    folder = os.getcwd()  # cookiecutter runs this in the folder it made
    name = json.loads(CONTEXT)["repo_name"]
    print("\n".join([f"{name} is in {folder}. Next:", "", *(f"  {line}" for line in next_commands(folder))]))


if __name__ == "__main__":
    main()
