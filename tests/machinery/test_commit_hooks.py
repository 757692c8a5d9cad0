"""After `make hooks` git refuses secrets, even when they are added by force, and files that do not belong in git."""

import json
import os
import random
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

MADE = ("build", "data", "outputs", ".venv*", "*.egg-info", ".git", "__pycache__", ".*_cache", ".hypothesis")


def private_key() -> str:
    """One that nobody uses, made now; google-auth brings the library."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def service_account() -> str:
    """The file that Google gives for a service account."""
    return json.dumps({"type": "service_account", "project_id": "p", "private_key": private_key()}, indent=2) + "\n"


def token(beginning: str, length: int) -> str:
    return f"token: {beginning}{''.join(random.choices(string.ascii_letters + string.digits, k=length))}\n"


NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": 7,
            "id": "a",
            "metadata": {},
            "outputs": [{"name": "stdout", "output_type": "stream", "text": ["seen\n"]}],
            "source": ["print('seen')"],
        }
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
# Each: the file, its content, and what the refusal says.
REFUSED = {
    "a service account's key": ("gcp-service-account.json", service_account, ["revoke it", "gcp-service-account.json"]),
    "a key file of another name": ("deep/down/prod-key.json", service_account, ["revoke it", "prod-key.json"]),
    "a key by what is in it": ("notes.json", service_account, ["Private Key", "notes.json:4"]),
    "a private key": ("notes.txt", private_key, ["Private Key", "notes.txt:1"]),
    "an .env, whatever is in it": (".env", lambda: "COLOR=red\n", ["revoke it", ".env"]),
    "an .env in a folder": ("src/.env.local", lambda: "COLOR=red\n", ["revoke it", "src/.env.local"]),
    "a token of GitHub": ("settings.yml", lambda: token("ghp_", 36), ["GitHub Token", "settings.yml:1"]),
    "a token of GitLab": ("settings.yml", lambda: token("glpat-", 20), ["GitLab Token", "settings.yml:1"]),
    "a password": ("settings.yml", lambda: "password: hunter2hunter2\n", ["Secret Keyword", "settings.yml:1"]),
    "10 MB": ("model.bin", lambda: "0" * 10 * 2**20, ["model.bin (10240 KB) exceeds 1024 KB"]),
    "a notebook with outputs": ("look.ipynb", lambda: json.dumps(NOTEBOOK, indent=1) + "\n", ["- hook id: notebooks"]),
    "a mark of a conflict": ("notes.txt", lambda: "<<<<<<< HEAD\n", ["Merge conflict string"]),
    "lines of Windows": ("notes.txt", lambda: "one\r\ntwo\n", ["fixed mixed line endings"]),
    "a key that is given twice": ("more.yml", lambda: "one: 1\none: 2\n", ["more.yml:2:1", "duplication of key"]),
    "a base image without a tag": ("docker/more.Dockerfile", lambda: "FROM python\n", ["more.Dockerfile:1", "DL3006"]),
    "a script with a fault": ("docker/s2i-builder/more", lambda: "#!/bin/sh\nls $1\n", ["s2i-builder/more", "SC2086"]),
    "an unused import": ("tests/more.py", lambda: "import os\n", ["files were modified by this hook"]),
    "an unknown name": ("tests/more.py", lambda: "print(nothing)\n", ["F821", "tests/more.py:1"]),
    "an import of the team's package in mlops": (
        "src/mlops/more.py",
        lambda: '"""More."""\n\nimport digit_reader\n\nprint(digit_reader)\n',
        ["hook id: lint-imports", "mlops.more -> digit_reader (l.3)"],
    ),
    "an import of it within a function": (
        "src/mlops/more.py",
        lambda: '"""More."""\n\n\ndef more():\n    """More."""\n    from digit_reader import data\n\n    return data\n',
        ["hook id: lint-imports", "mlops.more -> digit_reader.data (l.6)"],
    ),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """Nothing of a hook or a make that these tests may run in; somebody who commits; types have a test of their own."""
    around = ("GIT_", "MAKE", "MFLAGS", "VENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(around)}
    person = {f"GIT_{role}_{what}": "t@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | person | {"PRE_COMMIT_HOME": str(tmp_path_factory.mktemp("pre-commit")), "SKIP": "types"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory, environment) -> Path:
    """A copy of this repository as its first commit, with the hooks that `make hooks` installs."""
    folder = tmp_path_factory.mktemp("repository") / ROOT.name
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*MADE))
    for command in (["git", "init", "--quiet"], ["git", "add", "--all"], ["git", "commit", "--quiet", "--message=1"]):
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    subprocess.run(
        ["make", "hooks", f"VENV={sys.prefix}"], cwd=folder, env=environment, check=True, capture_output=True
    )
    return folder


@pytest.fixture
def git(repository, environment):
    """git in that repository, which is afterwards as it was."""

    def run(*words: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["git", *words], cwd=repository, env=environment | more, capture_output=True, text=True, check=False
        )

    yield run
    for words in (["reset", "--quiet", "--hard", "HEAD"], ["clean", "--quiet", "--force", "-d", "-x"]):
        assert not run(*words).returncode


def plant(repository: Path, name: str, content: str) -> None:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_not_committed_even_when_it_is_added_by_force(repository, git, what):
    name, content, said = REFUSED[what]
    plant(repository, name, content())
    assert not git("-c", "core.autocrlf=false", "add", "--force", name).returncode
    done = git("commit", "--message=2")
    told = done.stdout + done.stderr
    assert done.returncode == 1, told
    assert all(words in told for words in said), told
    assert git("rev-list", "--count", "HEAD").stdout == "1\n"


@pytest.mark.parametrize("name", ["gcp-service-account.json", "deep/prod-key.json", ".env", "src/.env.local", "a.pem"])
def test_a_file_for_secrets_is_ignored(repository, git, name):
    plant(repository, name, "x\n")
    assert not git("add", "--all").returncode
    assert not git("status", "--porcelain").stdout
    refused = git("add", name)
    assert refused.returncode and "ignored" in refused.stderr


@pytest.mark.parametrize("name", ["build/answers.json", "data/raw/x", "outputs/runs/x/model.pt", ".polyaxon/x"])
def test_what_a_stage_makes_is_ignored(repository, git, name):
    plant(repository, name, "x\n")
    assert not git("status", "--porcelain").stdout, f".gitignore lets {name} be added"


def test_what_is_in_order_is_committed(repository, git):
    plant(repository, ".env.example", "COLOR=\n")
    plant(repository, "notes.txt", "The secret of a good cup is fresh water.\n")
    plant(repository, "tests/more.py", '"""More."""\n')
    assert not git("add", "--all").returncode
    done = git("commit", "--message=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not git("reset", "--quiet", "--hard", "HEAD~1").returncode


def test_a_notebooks_outputs_are_taken_out_and_then_it_is_committed(repository, git):
    notebook = {**NOTEBOOK, "cells": [{**NOTEBOOK["cells"][0], "source": ['print("seen")']}]}
    plant(repository, "look.ipynb", json.dumps(notebook, indent=1) + "\n")
    git("add", "look.ipynb")
    assert git("commit", "--message=2").returncode == 1
    kept = json.loads((repository / "look.ipynb").read_text(encoding="utf-8"))["cells"][0]
    assert kept["outputs"] == [] and kept["source"] == ['print("seen")']
    git("add", "look.ipynb")
    done = git("commit", "--message=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not git("reset", "--quiet", "--hard", "HEAD~1").returncode


@pytest.mark.slow
def test_a_wrong_type_is_not_committed(repository, git):
    plant(repository, "src/mlops/more.py", "def double(number: int) -> int:\n    return f'{number}{number}'\n")
    git("add", "--all")
    done = git("commit", "--message=2", SKIP="format")
    assert done.returncode == 1 and "src/mlops/more.py:2: error: Incompatible return value type" in done.stderr


def test_a_hook_without_the_environment_names_the_command_that_makes_it(repository, git):
    before = git("config", "--get", "hooks.venv").stdout.strip()
    git("config", "hooks.venv", "/nowhere")
    plant(repository, "notes.txt", "text\n")
    git("add", "--all")
    hook = ["sh", "src/mlops/platform/tool.sh", "detect-secrets-hook", "notes.txt"]
    done = subprocess.run(
        hook, cwd=repository, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    git("config", "hooks.venv", before)
    assert done.returncode == 1 and "There is no detect-secrets-hook in the environment at /nowhere" in done.stderr
    assert "make hooks" in done.stderr


def test_the_package_of_the_team_imports_mlops_and_mlops_never_it(environment):
    here = environment | {"PYTHONPATH": str(ROOT / "src")}
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Contracts: 1 kept, 0 broken." in done.stdout, done.stdout + done.stderr


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_in_a_folder_of_another_repository_make_hooks_changes_nothing_and_says_so(environment, tmp_path):
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message=1"]):
        subprocess.run(["git", *command], cwd=tmp_path, env=environment, check=True, capture_output=True)
    folder = tmp_path / "services/digit-reader"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*MADE))
    before = everything_in(tmp_path)
    command = ["make", "hooks", f"VENV={sys.prefix}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout == "No hook is installed: this folder is not the top of a git repository.\n"
    assert everything_in(tmp_path) == before


def test_make_lint_runs_the_same_and_says_what_it_needs(repository, environment, git, tmp_path):
    done = subprocess.run(
        ["make", "lint", "ARGS=large-files", f"VENV={sys.prefix}"],
        cwd=repository, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "no file over 1 MB" in done.stdout, done.stdout + done.stderr
    shutil.copy(ROOT / "Makefile", tmp_path)
    done = subprocess.run(
        ["make", "lint", f"VENV={sys.prefix}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode and "git init -b main && git add --all" in done.stderr
