"""CI of a repository: the same on GitHub and GitLab, of verbs that everybody types, with no key and no right too many.

The slow ones need the tools of a team's environment: TEAM_VENV.
"""

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, as_in_a_terminal

PROVIDERS = ["GitHub Actions", "GitLab CI", "None"]
WITH_CI = PROVIDERS[:2]


@pytest.fixture(scope="module")
def ci_commands():
    spec = importlib.util.spec_from_file_location("ci_commands", TEMPLATE / "tools/ci_commands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ci_file(repository: Path) -> str:
    path = repository / ".github/workflows/ci.yml"
    path = path if path.exists() else repository / ".gitlab-ci.yml"
    return path.read_text(encoding="utf-8")


def verbs_of(text: str) -> set[str]:
    """The verbs of make that commands name."""
    words = [line.split() for line in text.replace("|", "\n").splitlines()]
    return {line[1] for line in words if line[:1] == ["make"] and len(line) > 1}


def test_a_change_is_held_to_the_same_by_both(make_repository, ci_commands):
    """So what is run in a clean checkout for one of them (.ci/run) is run for both."""
    github, gitlab = (ci_commands.commands(make_repository(ci_provider=name), "check") for name in WITH_CI)
    assert github == gitlab
    assert github[0] == "make setup" and {"make lint", "make check", "make guide-site", "make test"} < set(github)


@pytest.mark.parametrize("provider", WITH_CI)
@pytest.mark.parametrize("job", ["check", "images", "push-images"])
def test_every_command_of_a_job_is_a_verb_that_there_is(make_repository, ci_commands, provider, job):
    repository = make_repository(ci_provider=provider)
    found = verbs_of("\n".join(ci_commands.commands(repository, job)))
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert found and found <= set(re.findall(r"^([a-z-]+):.* ## ", makefile, flags=re.MULTILINE))


@pytest.mark.parametrize("provider", WITH_CI)
def test_every_program_that_ci_names_is_in_the_repository(make_repository, provider):
    """Return the modules of src/ and the scripts that a command starts itself."""
    repository = make_repository(ci_provider=provider)
    files = [*(repository / ".github/workflows").glob("*.yml"), *repository.glob(".gitlab-ci.yml")]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    modules = re.findall(r"PYTHONPATH=src \S+ -m (\S+)", text)
    scripts = re.findall(r"\bsh (\S+\.sh)", text)
    named = [f"src/{module.replace('.', '/')}.py" for module in modules] + scripts
    assert scripts and (modules or provider == "GitHub Actions")
    assert not [file for file in named if not (repository / file).is_file()]


@pytest.mark.parametrize("provider", WITH_CI)
def test_images_are_built_logged_in_and_pushed_by_the_repositorys_own_verbs(make_repository, provider):
    lines = "\n".join(
        re.sub(r"^\s*(- )?(run: )?", "", line) for line in ci_file(make_repository(ci_provider=provider)).splitlines()
    )
    assert {"images", "login", "push"} <= verbs_of(lines)


@pytest.mark.parametrize("provider", WITH_CI)
def test_no_job_is_given_a_key(make_repository, provider):
    text = ci_file(make_repository(ci_provider=provider))
    assert "GCP_WORKLOAD_IDENTITY_PROVIDER" in text and "GCP_SERVICE_ACCOUNT" in text
    for name in ("secrets.", "credentials_json", "_json_key", "GOOGLE_APPLICATION_CREDENTIALS", "service-account.json"):
        assert name not in text


@pytest.mark.parametrize("provider", WITH_CI)
def test_a_key_is_given_to_the_login_of_the_job_that_pushes_alone(make_repository, provider):
    text = ci_file(make_repository(ci_provider=provider, gcp_credentials="Key file"))
    jobs = yaml.safe_load(text)
    jobs = jobs.get("jobs", jobs)
    given = [name for name, job in jobs.items() if "GCP_SERVICE_ACCOUNT_KEY" in yaml.safe_dump(job)]
    assert given == ["push-images"] and "id-token" not in text and "id_tokens" not in text
    if provider == "GitHub Actions":
        [login] = [step for step in jobs["push-images"]["steps"] if "secrets." in yaml.safe_dump(step)]
        assert login["run"] == "printenv KEY | make login"


def test_on_github_only_the_job_that_pushes_may_ask_for_an_identity(make_repository):
    workflow = yaml.safe_load(ci_file(make_repository()))
    assert workflow["permissions"] == {}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert rights.pop("push-images") == {"contents": "read", "id-token": "write"}
    assert all(right == {"contents": "read"} for right in rights.values())
    assert workflow["jobs"]["push-images"]["if"] == "github.event_name == 'push'"
    assert workflow["jobs"]["push-images"].get("needs") == "check", "ci.yml: images are pushed before they are checked"
    assert workflow[True]["push"] == {"branches": ["main"]}  # YAML 1.1 reads `on` as true
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


def test_on_gitlab_only_the_job_that_pushes_has_an_identity(make_repository):
    pipeline = yaml.safe_load(ci_file(make_repository(ci_provider="GitLab CI")))
    assert [name for name, job in pipeline.items() if "id_tokens" in job] == ["push-images"]
    order = [pipeline["stages"].index(pipeline[name]["stage"]) for name in ("check", ".images")]
    assert order == [0, 1] and not {"needs", "stage"} & set(pipeline["push-images"]), (
        ".gitlab-ci.yml: images are pushed before they are checked"
    )
    [rule] = pipeline["push-images"]["rules"]
    assert "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" in rule["if"]


@pytest.mark.parametrize("provider", WITH_CI)
def test_the_variables_are_those_that_are_documented(make_repository, provider):
    repository = make_repository(ci_provider=provider)
    texts = [path.read_text(encoding="utf-8") for path in (repository / ".github/workflows").glob("*.yml")]
    used = {name for text in texts for name in re.findall(r"\bvars\.(\w+)", text)}
    if provider == "GitLab CI":
        used = set(re.findall(r"\bGCP_\w+", ci_file(repository))) | {"TEMPLATE"}
    written = "".join(path.read_text(encoding="utf-8") for path in (repository / "aisg-context").rglob("*.md"))
    assert used == {"GCP_SERVICE_ACCOUNT", "GCP_WORKLOAD_IDENTITY_PROVIDER", "TEMPLATE"}
    assert used <= set(re.findall(r"`([A-Z_]+)`", written))
    assert (repository / "aisg-context/guide-site/docs/ci-cd.md").is_file()  # where CI says that they are


@pytest.mark.parametrize("provider", WITH_CI)
def test_images_are_not_pushed_and_ci_passes_until_the_variables_are_set(make_repository, ci_commands, provider):
    """The step that says so, as the shell runs it."""
    repository = make_repository(ci_provider=provider)
    if provider == "GitHub Actions":
        steps = yaml.safe_load(ci_file(repository))["jobs"]["push-images"]["steps"]
        [script] = [step["run"] for step in steps if step.get("if") == "env.PROVIDER == '' || env.ACCOUNT == ''"]
        pushing = [step for step in steps if "make push" in step.get("run", "") or "make login" in step.get("run", "")]
        assert all(step["if"] == "env.PROVIDER != '' && env.ACCOUNT != ''" for step in pushing) and len(pushing) == 2
    else:
        lines = ci_commands.commands(repository, "push-images")
        script = "\n".join(lines[1:])  # what comes after the images are built
    told = subprocess.run(
        ["/bin/bash", "-e", "-c", script], env={"PATH": "/nowhere"}, capture_output=True, text=True, check=True
    )
    assert "not pushed" in told.stdout and "aisg-context/guide-site/docs/ci-cd.md" in told.stdout


@pytest.fixture
def team_bin() -> Path:
    if not os.environ.get("TEAM_VENV"):
        pytest.skip("NOT CHECKED: TEAM_VENV names no environment made by `make setup`")
    return Path(os.environ["TEAM_VENV"]) / "bin"


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_fresh_repository_passes_every_hook(make_repository, team_bin, tmp_path, provider):
    """Types, which take long and are the same in all three, are left to `make lint` in .ci/run."""
    made = make_repository(
        ci_provider=provider, project_name='It\'s "A" $(B) <C>', repo_name="digit-reader",
        gcp_credentials="Workload Identity" if provider == "GitLab CI" else "Key file",
    )  # fmt: skip
    repository = tmp_path / made.name
    subprocess.run(["cp", "-r", made, repository], check=True)
    here = as_in_a_terminal() | {
        "VENV": str(team_bin.parent),
        "SKIP": "types",
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
    }
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    done = subprocess.run(
        [team_bin / "pre-commit", "run", "--all-files"],
        cwd=repository,
        env=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split("...")[0]: line for line in done.stdout.splitlines()}
    judged = {
        provider
        for name, line in lines.items()
        for provider in ("GitHub", "GitLab")
        if provider in name and line.endswith("Passed")
    }
    assert judged == {provider.split()[0]} - {"None"}
