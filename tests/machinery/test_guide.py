"""The guide is true as far as this machine can tell: its links, its pictures, and every command that it shows."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path

import click
import guide_pages
import pytest
import requests
import yaml
from conftest import ROOT
from guide_pages import CLUSTER, GUIDE, LAPTOP, LONG, OUTPUT, SERVER, UNTESTED
from mlops import processes, project
from mlops.platform import compilation

# Where each block runs, as the guide's first page explains it; tests/cluster types those titled cluster
TITLES = {
    "bash": {LAPTOP, LONG, SERVER, CLUSTER, UNTESTED},
    "powershell": {UNTESTED},
    "text": {OUTPUT, ""},
}
SHELLCHECK = (
    "--shell=bash",
    "--exclude=SC2154,SC2164",  # a variable that an earlier block has set; a person sees that cd has failed
    "--format=gcc",
    "-",
)
KUBECTL, SHELLCHECK_PROGRAM = (Path(sys.executable).with_name(name) for name in ("kubectl", "shellcheck"))


@pytest.fixture(scope="module")
def blocks(site) -> list[guide_pages.Block]:
    return guide_pages.blocks(site)


@pytest.fixture(scope="module")
def bash(blocks) -> list[guide_pages.Block]:
    return [block for block in blocks if block.language == "bash"]


def commands_of(bash, program: str) -> list[tuple[str, list[str]]]:
    """Every use of a program: the page and the program's arguments."""
    found = [(block.page, words) for block in bash for words in guide_pages.commands(block)]
    used = [(page, words[1:]) for page, words in found if words[0] == program]
    assert used, f"the guide never uses {program}"
    return used


def test_every_diagram_is_drawn_light_and_dark_and_has_a_caption(site):
    shown = []
    for name in guide_pages.names():
        page = guide_pages.page(site, name)
        assert not page.select("article img"), f"{name}: a picture that is no diagram"
        drawn = page.select("article div.d2")
        assert len(drawn) == len(guide_pages.diagrams(name)), name
        shown += guide_pages.diagrams(name)
        for diagram in drawn:
            assert diagram.find_next("p").em, f"{name}: a diagram without a caption below it"
            for scheme in ("light", "dark"):
                (variant,) = diagram.find_all("div", class_=f"d2-{scheme}", recursive=False)
                (picture,) = variant.find_all("svg", attrs={"role": "img"})
                assert picture["aria-label"].strip(), f"{name}: {scheme}"
    assert set(shown) == {path.name for path in (GUIDE / "diagrams").glob("*.d2")} - {"style.d2"}


def test_a_block_says_where_it_runs_and_output_is_below_what_prints_it(blocks):
    for before, block in zip([None, *blocks], blocks, strict=False):
        if block.file:
            assert (ROOT / block.file).is_file(), str(block)
        else:
            assert block.title in TITLES.get(block.language, {""}), f"{block}: {block.title!r}"
        if block.title == OUTPUT:
            assert before.title in (LAPTOP, SERVER, CLUSTER) and before.output == block.text, str(block)


def test_the_first_page_explains_every_title(site):
    explained = {cell.get_text() for cell in guide_pages.page(site, "index").select("article td:first-child em")}
    assert explained == TITLES["bash"]


def test_the_commands_are_of_their_shells_grammar(blocks):
    for block in blocks:
        if block.language == "bash":
            command = [SHELLCHECK_PROGRAM, *SHELLCHECK]
            done = subprocess.run(command, input=block.filled_in(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.page}:\n{block.text}\n{done.stdout}{done.stderr}"
        elif block.language == "powershell":
            assert not guide_pages.syntax(block).has_error, f"{block.page}:\n{block.text}"


def test_the_verbs_and_their_variables_are_the_makefiles(bash):
    for page, words in commands_of(bash, "make"):
        command = ["make", "--dry-run", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page}: make {' '.join(words)}: {done.stderr}"
        for name, value in (word.split("=", 1) for word in words if "=" in word and "$" not in word):
            reaches = f"${name}" in done.stdout or all(word in done.stdout for word in value.split())
            assert reaches, f"Makefile, {page}: make {' '.join(words)}: {name} does not reach the command"


def test_polyaxons_commands_and_options_are_polyaxons(bash):
    (program,) = entry_points(group="console_scripts", name="polyaxon")
    for page, words in commands_of(bash, "polyaxon"):
        command, context, rest = program.load(), click.Context(program.load()), list(words)
        try:
            while isinstance(command, click.Group):
                name, command, rest = command.resolve_command(context, rest)
                context = click.Context(command, info_name=name, parent=context)
            command.make_parser(context).parse_args(rest)
        except click.UsageError as error:
            pytest.fail(f"{page}: polyaxon {' '.join(words)}: {error.format_message()}")


def test_the_polyaxonfiles_exist_and_take_the_inputs(bash):
    for page, words in commands_of(bash, "polyaxon"):
        options = list(pairwise(words))
        files = [ROOT / value for option, value in options if option == "-f"]
        params = [value for option, value in options if option == "-P"]
        if words[0] != "run":
            continue
        try:
            compilation.read(files[0], params, tuple(files[1:]))
        except Exception as error:  # Polyaxon has no one exception for a file or an input that is wrong
            pytest.fail(f"{page}: polyaxon run {' '.join(words)}: {error}")


def test_kubectls_commands_and_options_are_kubectls(bash):
    for page, words in commands_of(bash, "kubectl"):
        lost = ["-"] if words[-1] == "-f" else []  # the grammar loses a - before a here-document
        # With --help last, it reads all that stands before it, and does nothing.
        command = [KUBECTL, *words, *lost, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "Usage:" in done.stdout, f"{page}: kubectl {' '.join(words)}: {done.stderr}"


INSTALLS = {"helm": ("repo", "install"), "kubectl": ("apply", "create"), "argo": ("submit",)}


def test_make_cluster_types_what_the_guide_shows(bash):
    text = (ROOT / "aisg-context/k8s/cluster.sh").read_text(encoding="utf-8")
    text = text.replace("$name-try", f"{project.name()}-YOUR_NAME")
    script = guide_pages.Block("cluster.sh", "bash", CLUSTER, text, None)
    shown = [words for block in bash for words in guide_pages.commands(block)]
    typed = [words for words in guide_pages.commands(script) if words[1:] and words[1] in INSTALLS.get(words[0], ())]
    assert {words[0] for words in typed} == INSTALLS.keys()
    assert not [words for words in typed if words not in shown]


def test_the_files_and_namespaces_that_commands_name_exist(bash):
    manifests = yaml.safe_load_all((ROOT / "aisg-context/k8s/namespaces.yml").read_text(encoding="utf-8"))
    namespaces = {item["metadata"]["name"] for item in manifests if item["kind"] == "Namespace"}
    for block in bash:
        for words in guide_pages.commands(block):
            said = f"{block.page}: {' '.join(words)}"
            named = {word.removeprefix("--namespace=") for word in words if word.startswith("--namespace=")}
            named |= {value for option, value in pairwise(words) if option == "--namespace"}
            namespaces |= named if "--create-namespace" in words else set()
            unknown = {name for name in named - namespaces if not name.startswith("$")}
            assert not unknown, f"{said}: no page makes the namespace"
            files = {value for option, value in pairwise(words) if option == "-f"} - {"-"}
            assert all((ROOT / file).exists() for file in files), said


def test_the_workflow_takes_the_parameters(bash):
    template = yaml.safe_load((ROOT / "aisg-context/argo/package-model.yml").read_text(encoding="utf-8"))
    known = {parameter["name"] for parameter in template["spec"]["arguments"]["parameters"]}
    submitted = [words for _, words in commands_of(bash, "argo") if words[0] == "submit"]
    assert submitted
    for words in submitted:
        given = {value.split("=")[0] for option, value in pairwise(words) if option == "-p"}
        assert given and given <= known, f"argo {' '.join(words)}"


def wait_for_page(address: str, seconds: float = 60) -> int:
    """The status of a page of a server that is starting."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(address, timeout=30).status_code
        time.sleep(0.2)
    raise AssertionError(f"{address} does not answer")


@pytest.mark.slow
def test_the_guide_is_served_until_ctrl_c_and_a_port_that_is_taken_is_named():
    port = processes.free_port()
    command = ["make", "--silent", "guide", f"PORT={port}", f"VENV={sys.prefix}", "ARGS="]
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **options, start_new_session=True) as process:
        try:
            said = list(until(process.stdout, "Serving on "))
            assert said[-1].endswith(f"Serving on http://127.0.0.1:{port}/\n"), "".join(said)
            assert wait_for_page(f"http://127.0.0.1:{port}/components/") == 200
            taken = subprocess.run(command, **options, check=False)
            os.killpg(process.pid, signal.SIGINT)
            rest, _ = process.communicate(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert "Shutting down..." in rest and "Traceback" not in rest
    assert taken.returncode and "Traceback" not in taken.stdout
    assert f"Port {port} is taken. Choose another" in taken.stdout


def until(lines: Iterable[str], said: str) -> Iterator[str]:
    """The lines up to the first that holds a text, and that one."""
    for line in lines:
        yield line
        if said in line:
            return


# What a walk through the guide does not run, because it takes long, needs a network, or a release of the template.
RUN_ELSEWHERE = {
    "make setup": "the template's CI: template team",
    "make lock setup": "the template's CI: template lock",
    "conda env create -f digit-reader-conda-env.yml": "make check reads the file; CI has no conda",
    "conda activate digit-reader": "CI has no conda",
    "make sweep": "the template's CI: make sweep",
    "make sweep GROUP=hparam-hyperband": "test_platform_runner.py: dry, and a small one",
    "make sweep GROUP=pipeline": "test_platform_runner.py: dry",
    "make images": "the template's CI: tools/build_images.sh",
    'make images IMAGES="train data-prep"': "as make images",
    "make images IMAGES=train ACCELERATOR=cuda": "make check reads the Dockerfile",
    "make model-image": "the template's CI: tools/model_image.py",
    "make serve-model-image": "the template's CI: tools/model_image.py",
    "make lint check test": "the template's CI: tools/ci_commands.py",
    "make test check": "the template's CI: tools/ci_commands.py",
    "make upgrade-check TEMPLATE=https://<GIT_SERVER>/cookiecutter-polyaxon-argo-seldon": "the template's test_update",
    "make upgrade TEMPLATE=https://<GIT_SERVER>/cookiecutter-polyaxon-argo-seldon": "the template's test_update",
    "git add --update . && git restore --source=HEAD --staged --worktree .": "the template's test_update_conflicts",
    'git commit --message "Upgrade the template"': "git's own",
}


def test_what_the_walk_leaves_out_is_run_elsewhere(bash):
    left_out = {line for block in bash if block.title == LONG for line in block.text.splitlines()}
    assert left_out == RUN_ELSEWHERE.keys()
