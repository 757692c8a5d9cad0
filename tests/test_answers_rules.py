"""The rules of the answers are the published ones, of Google, Docker, Kubernetes and Python, told by other means."""

import ast
import itertools
import keyword
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, context_of, questions
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ZONES = ("asia", "australia", "me", "europe", "africa", "us", "northamerica", "southamerica")


def may_be_project_id(text):
    """cloud.google.com/resource-manager/docs/creating-managing-projects, and domain-scoped ids of old."""
    match text.split(":"):
        case [name]:
            domain = None
        case [domain, name]:
            pass
        case _:
            return False
    if domain is not None:
        label = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
        if len(domain) > 253 or not re.fullmatch(rf"{label}(\.{label})+", domain):
            return False
    if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", name):
        return False
    return not re.search("google|null|undefined|ssl", name)


def may_be_component(text):
    """The OCI distribution specification's path component, here also a part of a Kubernetes name."""
    return len(text) <= 63 and re.fullmatch(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*", text) is not None


def may_be_repo_name(text):
    return len(text) <= 40 and re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text) is not None


def may_be_cluster(text):
    return len(text) <= 40 and re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", text) is not None


def may_be_zone(text):
    shape = re.fullmatch(r"([a-z]+)(-[a-z]+)*[0-9]{1,2}-[a-f]", text)
    return len(text) <= 63 and shape is not None and text.split("-")[0] in ZONES


def may_be_package(text):
    """Python itself is asked whether it can import the name."""
    if not text.isascii() or text != text.lower() or len(text) > 63 or re.fullmatch("_+|__.*__", text):
        return False
    try:
        compile(f"import {text} as _", "", "exec")
    except (SyntaxError, ValueError):
        return False
    return text.isidentifier() and text not in {"match", "case", "type"} | set(sys.stdlib_module_names)


def near(alphabet, pattern, *words):
    """Answers on both sides of a rule: those it allows, those made of its letters, and those with one thing wrong."""
    good = st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) < 100)
    letters = st.text(alphabet, max_size=45)
    words = st.sampled_from([*words, ""])
    spoiled = st.tuples(good, letters, st.integers(0, 40)).map(lambda t: t[0][: t[2]] + t[1][:2] + t[0][t[2] :])
    return st.one_of(
        good, letters, spoiled, st.text(max_size=8), st.builds("".join, st.tuples(good, words, letters)), words
    )


LABEL = "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?"
ORACLES = {
    "gcp_project_id": (
        may_be_project_id,
        near(
            "ab0-.:A_",
            rf"({LABEL}(\.{LABEL}){{0,2}}:)?[a-z][a-z0-9-]{{4,28}}[a-z0-9]",
            "google",
            "null",
            "ssl",
            "undefined",
        ),
    ),
    "repo_name": (may_be_repo_name, near("ab0-A_", r"[a-z][a-z0-9]*(-[a-z0-9]+)*")),
    "gke_cluster_name": (may_be_cluster, near("ab0-A_", r"[a-z]([a-z0-9-]*[a-z0-9])?")),
    "gke_zone": (
        may_be_zone,
        near("a0-f1", rf"({'|'.join(ZONES)}|mars)(-[a-z]{{1,9}}){{0,2}}[0-9]{{1,3}}-[a-g]", "us", "me"),
    ),
    "src_package_name": (
        may_be_package,
        near(
            "ab0_A-",
            r"[a-z_][a-z0-9_]*",
            *keyword.kwlist,
            *keyword.softkwlist,
            "json",
            "torch",
            "pil",
            "sklearn",
            "tests",
        ),
    ),
}


@pytest.mark.parametrize("question", ORACLES)
def test_the_rule_is_the_published_one(rules, good_context, question):
    allowed, answers = ORACLES[question]
    taken = {"repo_name": set(rules.MODULES), "src_package_name": rules.IMPORTED | rules.TAKEN}.get(question, ())

    @settings(max_examples=300, deadline=None, database=None)
    @given(answers)
    def compare(answer):
        assume(answer not in taken)  # names that are taken have tests of their own
        assert bool(rules.check(question, good_context | {question: answer}).faults) is not bool(allowed(answer))

    compare()


def test_a_component_of_an_image_path_is_the_published_one(rules):
    @settings(max_examples=300, deadline=None, database=None)
    @given(near("ab0-._A", r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"))
    @example("a--------b")
    @example("a__b")
    def compare(answer):
        assert bool(rules.author_name(answer, personal=True).faults) is not may_be_component(answer)

    compare()


FREE = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@pytest.mark.parametrize(("question", "shortest", "longest"), [("project_name", 1, 72), ("description", 0, 200)])
def test_free_text_is_refused_for_length_and_control_characters_only(rules, good_context, question, shortest, longest):
    @settings(max_examples=300, deadline=None, database=None)
    @given(FREE)
    @example("x" * longest)
    @example("x" * (longest + 1))
    @example("\u00a0\ufeff\ufffe")
    def compare(text):
        control = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029}
        allowed = shortest <= len(text) <= longest and control.isdisjoint(map(ord, text))
        allowed = allowed and (shortest == 0 or not text.isspace())
        assert bool(rules.check(question, good_context | {question: text}).faults) is not allowed

    compare()


# --- names that are taken ---------------------------------------------------------------------------------------------


def requirements(repository):
    """The names of what pyproject.toml and serving-requirements.txt ask for."""
    file = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    project = file["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    files = (repository / "serving-requirements.txt", repository / "src/mlops/upgrade/requirements.txt")
    pins = "".join(file.read_text(encoding="utf-8") for file in files)
    lines = [*itertools.chain(*lists), *re.findall(r"^[\w.-]+(?===)", pins, flags=re.MULTILINE)]
    return {canonicalize_name(Requirement(line).name) for line in lines} - {project["name"]}


def test_the_name_of_a_requirement_is_refused_for_the_repository_and_its_modules_for_the_package(rules, bake):
    names = requirements(bake())
    assert {"torch", "flask"} <= names
    assert not {name for name in names if not rules.repo_name_faults(name)}
    modules = {module.lower() for name in names for module in rules.MODULES[name].split(",")}
    assert not {module for module in modules if not rules.package_faults(module)}


def test_a_library_that_the_code_imports_is_refused_as_the_name_of_the_package(rules):
    imported = set()
    for file in (TEMPLATE / "{{cookiecutter.repo_name}}/src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    assert {"mlops", "json", "torch", "seldon_core"} <= imported
    assert not {name for name in imported if not rules.package_faults(name.lower())}


MODULES_OF = """
import sys
from importlib import metadata
from packaging.utils import canonicalize_name

for module, owners in metadata.packages_distributions().items():
    if set(sys.argv) & set(map(canonicalize_name, owners)):
        print(module)
"""


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["TEAM_VENV", "TEAM_SERVING_VENV"])
def test_a_module_that_a_requirement_installs_is_refused_as_the_name_of_the_package(rules, bake, environment):
    if environment not in os.environ:
        pytest.skip(f"NOT CHECKED: {environment} names no environment made by `make setup`")
    command = [Path(os.environ[environment]) / "bin/python", "-c", MODULES_OF, *requirements(bake())]
    modules = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    packages = {name for name in modules if name == name.lower() and name.isidentifier() and not name.startswith("_")}
    assert len(packages) > 10
    assert not {name for name in packages if not rules.package_faults(name)}


# Defaults that the page describes
DESCRIBED = {
    ("description", "one line"),
    ("repo_name", "from the project's name"),
    ("src_package_name", "from the repository's name"),
}


def test_the_choices_are_those_that_are_asked(rules):
    every = {name: answer for name, answer in questions().items() if not name.startswith("_")}
    assert {name: tuple(options) for name, options in every.items() if isinstance(options, list)} == rules.CHOICES
    assert list(every) == list(rules.CHECKS)


def test_the_page_of_questions_has_each_with_its_default(rules):
    page = (TEMPLATE / "docs/questions.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")
    ]
    assert [name for name, *_ in rows] == list(rules.CHECKS)
    for name, default, _ in rows:
        asked = questions()[name]
        asked = asked[0] if isinstance(asked, list) else asked
        assert default == asked or (name, default) in DESCRIBED, f"{name}: {default}, not {asked}"


# --- answers that can work alone and not together ---------------------------------------------------------------------


def names_in(file):
    """The names of the Kubernetes objects in a rendered file, and the beginnings of names that the server completes."""
    for item in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        metadata = (item.get("metadata") or {}) if isinstance(item, dict) else {}
        yield from filter(None, (metadata.get("name"), metadata.get("generateName")))


def test_the_longest_kubernetes_name_has_at_most_63_characters(rules, make_repository):
    fits = {"repo_name": "r" * 40, "author_name": "a" * 14, "src_package_name": "reader"}
    fits["gcr_personal_subdir"] = "Yes"
    assert not rules.problems(context_of(**fits))
    [problem] = rules.problems(context_of(**fits | {"author_name": "a" * 15}))
    assert problem.question == "author_name" and "64 characters" in problem.faults[0]
    names = {name for file in make_repository(**fits).rglob("*.yml") for name in names_in(file)}
    assert max(map(len, names)) == 63


def test_an_image_has_a_name_of_at_most_255_characters(rules):
    longest = 255 - len("asia.gcr.io//my-project/digit-reader/s2i-builder")
    domain = f"{'a' * 63}.{'b' * 63}.{'c' * 60}.{'d' * (longest - 189)}"
    assert not rules.problems(context_of(gcp_project_id=f"{domain}:my-project"))
    [problem] = rules.problems(context_of(gcp_project_id=f"{domain}d:my-project"))
    assert problem.question == "gcp_project_id" and "255" in problem.rule


@pytest.mark.parametrize(
    ("answers", "blamed"),
    [
        ({"repo_name": "google-digits"}, "repo_name"),
        ({"repo_name": "g00gle-digits"}, "repo_name"),
        ({"gcp_project_id": "my-g00gle-project"}, "gcp_project_id"),
        ({"gcp_project_id": "good-project"}, None),
        ({"gcp_project_id": "goog-project"}, "gcp_project_id"),
    ],
)
def test_the_bucket_does_not_have_a_name_that_cloud_storage_refuses(rules, answers, blamed):
    assert [problem.question for problem in rules.problems(context_of(**answers))] == ([blamed] if blamed else [])
