"""A team's verbs take what is typed behind them, and nothing that a shell has under the same name."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from conftest import TEMPLATE, as_in_a_terminal
from packaging.specifiers import SpecifierSet

VERBS = [
    "data",
    "train",
    "sweep",
    "best",
    "compare",
    "package",
    "serve",
    "try",
    "predict",
    "batch",
    "drift",
    "ui",
    "guide",
    "images",
    "push",
    "deploy",
    "canary",
    "serve-model-image",
]


@pytest.fixture(scope="module")
def shown(bake, tmp_path_factory):
    """Gives what `make` would run in a repository whose environment is there."""
    repository = Path(shutil.copytree(bake(), tmp_path_factory.mktemp("verbs") / "repository"))
    python = repository / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()

    def run(*words, **variables):
        return subprocess.run(
            ["make", "--dry-run", *words], cwd=repository, env=as_in_a_terminal() | variables,
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip

    lines = (repository / "Makefile").read_text(encoding="utf-8").splitlines()
    run.taken = {name for line in lines if " ## " in line for name in re.findall(r"\b([A-Z]+)=", line)}
    return run


@pytest.mark.parametrize("flags", [[], ["--environment-overrides"]])
def test_a_shells_variables_decide_nothing(shown, flags):
    assert {"PORT", "RUN", "URL", "GROUP", "SOURCE", "IMAGES", "RESUME", "ARGS"} <= shown.taken
    assert shown(*flags, *VERBS, **dict.fromkeys(shown.taken, "of-the-shell")) == shown(*VERBS)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["data", "SOURCE=it's mine.csv"], r"""-P 'source=it'\''s mine.csv'"""),
        (["serve", "PORT=9000"], "--port '9000'"),
        (["package", "RUN=abc"], "--run 'abc'"),
        (["compare", "RUNS=abc def"], "--run 'abc' --run 'def'"),
        (["train", "RESUME=abc"], "train --resume 'abc'"),
        (["sweep", "GROUP=pipeline"], "runner 'pipeline'"),
        (["predict", "URL=http://host", "FILE=a.png"], "predict --url 'http://host'    -- 'a.png'"),
    ],
)
def test_what_is_typed_counts(shown, words, part):
    assert part in shown(*words, PORT="1", RUN="shell", URL="shell", GROUP="shell", RESUME="shell")


def test_make_cluster_says_what_is_missing_and_removes_no_cluster_of_yours(bake, tmp_path):
    for name in ("sh", "dirname", "cat", "sed"):
        (tmp_path / name).symlink_to(shutil.which(name))

    def run(*words):
        command = [tmp_path / "sh", bake() / "aisg-context/k8s/cluster.sh", *words]
        return subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)

    for program in ("argo", "helm", "kubectl", "polyaxon", "kind", "docker"):
        done = run("create")
        assert done.returncode == 1 and f"make cluster: {program} is not installed" in done.stderr, done.stderr
        (tmp_path / program).symlink_to(shutil.which("false"))
    done = run("delete", "production")
    assert done.returncode == 1 and "only kind's cluster is removed" in done.stderr


# --- make setup -------------------------------------------------------------------------------------------------------

ENVIRONMENT = TEMPLATE / "{{cookiecutter.repo_name}}/src/mlops/platform/environment.sh"
PYENVS, UVS = "my pyenv/versions/3.12.1/bin/python", "uv/cpython-3.13.9-linux/bin/python"


def program(path: Path, version: str, *, venv: bool = True) -> Path:
    """A program that says it is this Python, and makes an environment that tells of which it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"""#!/bin/sh
case "$*" in
    *version_info*) echo {version} ;;
    *ensurepip*) exit {int(not venv)} ;;
    "-m pip"*) exit 0 ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "{path}" >"$3/made-of" ;;
esac
""")
    path.chmod(0o755)
    return path


@pytest.fixture
def environment(tmp_path):
    """Runs environment.sh where no Python is but those that a test puts into bin, pyenv or uv."""
    for name in ("sh", "cp", "mkdir", "rm", "touch"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))

    def run(wanted=""):
        known = {
            "PATH": f"{tmp_path}/bin",
            "PYENV_ROOT": f"{tmp_path}/my pyenv",
            "UV_PYTHON_INSTALL_DIR": f"{tmp_path}/uv",
        }
        done = subprocess.run(
            ["sh", ENVIRONMENT, "env", wanted], cwd=tmp_path, env=known, capture_output=True, text=True, check=False
        )
        made = tmp_path / "env/made-of"
        assert made.exists() == (done.returncode == 0), done.stderr
        return Path(made.read_text().strip()).relative_to(tmp_path) if made.exists() else done.stderr

    run.folder = tmp_path
    return run


@pytest.mark.parametrize(
    ("there", "wanted", "taken"),
    [
        ({"bin/python3.11": "3.11", "bin/python3.13": "3.13", "bin/python3.12": "3.12"}, "", "bin/python3.13"),
        ({"bin/python3.11": "3.11", PYENVS: "3.12"}, "", PYENVS),
        ({"bin/python3": "3.14", UVS: "3.13"}, "", UVS),
        ({"bin/python3": "3.12"}, "", "bin/python3"),
        ({"bin/python3.13": "3.13", "bin/python3.11": "3.11"}, "3.11", "bin/python3.11"),
        ({"bin/python3.13": "3.13", "my python": "3.12"}, "./my python", "my python"),
    ],
    ids=str,
)  # fmt: skip
def test_setup_takes_the_newest_python_that_fits_or_the_one_that_is_named(environment, there, wanted, taken):
    for path, version in there.items():
        program(environment.folder / path, version)
    assert environment(wanted) == Path(taken)


@pytest.mark.parametrize(
    ("there", "wanted", "told"),
    [
        ({}, "", "3.11, 3.12 or 3.13 is needed"),
        ({"bin/python3": "3.14"}, "", "python3 is 3.14"),
        ({"bin/python3.12": "3.12", "bin/old": "3.10"}, "old", "old is 3.10"),
        ({"bin/python3.12": "3.12"}, "3.14", "3.14 gave none"),
    ],
    ids=str,
)
def test_setup_says_which_python_does_not_fit_and_makes_nothing(environment, there, wanted, told):
    for path, version in there.items():
        program(environment.folder / path, version)
    assert told in (said := environment(wanted)) and "make setup PYTHON=" in said
    assert not (environment.folder / "env").exists()


@pytest.mark.parametrize("minor", range(9, 16))
def test_setup_takes_the_pythons_that_pyproject_allows(bake, environment, minor):
    allowed = tomllib.loads((bake() / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    program(environment.folder / "bin/python3", f"3.{minor}")
    assert (environment() == Path("bin/python3")) == SpecifierSet(allowed).contains(f"3.{minor}")


def test_a_python_without_venv_is_passed_over(environment):
    program(environment.folder / "bin/python3.13", "3.13", venv=False)
    assert "apt install python3.13-venv" in environment()
    program(environment.folder / "bin/python3.11", "3.11")
    assert environment() == Path("bin/python3.11")


def test_an_environment_keeps_its_python(environment):
    program(environment.folder / "bin/python3.11", "3.11")
    assert environment("3.11") == environment() == Path("bin/python3.11")
    program(environment.folder / "bin/python3.12", "3.12")
    assert environment() == Path("bin/python3.11")
    done = subprocess.run(
        ["sh", ENVIRONMENT, "env", "3.12"], cwd=environment.folder, env={"PATH": f"{environment.folder}/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "has Python 3.11" in done.stderr and "rm -r env" in done.stderr


def test_an_environments_path_with_a_blank_is_named(bake):
    done = subprocess.run(
        ["make", "setup", "VENV=a b/env"],
        cwd=bake(),
        env=as_in_a_terminal(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "without a blank" in done.stderr and "ln -s" in done.stderr


HOSTILE = """it's $HOME `touch a` $(touch b) $(shell touch c) (1); touch d & "x" | tee e"""


def test_nothing_that_is_typed_is_run_by_a_shell(bake, tmp_path):
    repository = Path(shutil.copytree(bake(), tmp_path / "repository"))
    python = repository / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    python.chmod(0o755)
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    taken = set(re.findall(r"^TAKEN := (.*)$", makefile, re.MULTILINE)[0].split()) - {"ARGS", "$(DATA)"}
    before = {path.name for path in repository.iterdir()}
    for verb in VERBS:
        words = [f"{name}={HOSTILE}" for name in sorted(taken | {"SOURCE", "TARGET"})]
        done = subprocess.run(
            ["make", "--silent", verb, *words], cwd=repository, env=as_in_a_terminal(),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert {path.name for path in repository.iterdir()} == before, verb
        if verb in ("predict", "batch", "data", "drift"):
            assert HOSTILE in done.stdout, "it is handed over as it was typed"
