"""Says where the repository is and what to type next. It reads nothing but the answers and changes nothing.

An update tool renders the template twice in a temporary folder and runs this too: hence no git and no network here.
"""

import json
import os
import shlex

CONTEXT = r'''{{ cookiecutter | tojson }}'''  # fmt: skip


def next_commands(folder: str) -> list[str]:
    """The three lines to type, ready for a POSIX shell."""
    return [
        f"cd {shlex.quote(folder)}",
        "git init && git add --all && git commit --message 'Start from the template'",
        "make setup pipeline",
    ]


def main() -> None:
    folder = os.getcwd()  # cookiecutter runs this in the folder it made
    name = json.loads(CONTEXT)["repo_name"]
    print("\n".join([f"{name} is in {folder}. Next:", "", *(f"  {line}" for line in next_commands(folder))]))


if __name__ == "__main__":
    main()
