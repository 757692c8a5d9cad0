"""Answers that cannot work are refused before anything is made, with the rule and, where there is one, a remedy."""

import ast
import itertools
import json
import keyword
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, context_of, questions, typed
from cookiecutter.exceptions import FailedHookException
from cookiecutter.generate import generate_context
from cookiecutter.main import cookiecutter
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

YES = {"gcr_personal_subdir": "Yes"}

# question, answer, a part of what is said to be wrong, the remedy (None: there is none to compute)
BAD = [
    ("project_name", "", "is empty", None),
    ("project_name", " ", "is blank", None),
    ("project_name", "a" * 73, "has 73 characters", None),
    ("project_name", "Digit\nReader", "U+000A at position 6", "Digit Reader"),
    ("project_name", "Digit\x00", "U+0000 at position 6", "Digit"),
    ("project_name", "\x1b[31mred", "U+001B at position 1", "[31mred"),
    ("project_name", "a\x7fb", "U+007F at position 2", "a b"),
    ("project_name", "a\x85b", "U+0085 at position 2", "a b"),
    ("project_name", "a\u2028b", "U+2028 at position 2", "a b"),
    ("project_name", "a\u2029b", "U+2029 at position 2", "a b"),
    ("project_name", "a\ud800b", "U+D800 at position 2", "a b"),
    ("description", "b" * 201, "has 201 characters", None),
    ("description", "line one\r\nline two", "U+000D at position 9", "line one  line two"),
    ("description", "\t" * 9, "6 more control characters", ""),
    ("repo_name", "", "is empty", None),
    ("repo_name", "Digit Reader", 'has " ", "D", "R"', "digit-reader"),
    ("repo_name", "digit_reader", 'has "_"', "digit-reader"),
    ("repo_name", "3d-reader", "does not start with", "ml-3d-reader"),
    ("repo_name", "-reader", "does not start with", "reader"),
    ("repo_name", "reader-", "ends with a hyphen", "reader"),
    ("repo_name", "digit--reader", "two hyphens in a row", "digit-reader"),
    ("repo_name", "../evil", 'has ".", "/"', "evil"),
    ("repo_name", "a" * 41, "has 41 characters", "a" * 40),
    ("repo_name", "lecteur-numéros", 'has "é"', "lecteur-numeros"),
    ("repo_name", "数字", "does not start with", None),
    ("repo_name", "torch", "a library that the repository depends on", "torch-model"),
    ("repo_name", "scikit-learn", "a library that the repository depends on", "scikit-learn-model"),
    ("src_package_name", "", "is empty", None),
    ("src_package_name", "Digit_Reader", 'has "D", "R"', "digit_reader"),
    ("src_package_name", "digit-reader", 'has "-"', "digit_reader"),
    ("src_package_name", "3d", "starts with a digit", "ml_3d"),
    ("src_package_name", "class", "keyword", "class_model"),
    ("src_package_name", "match", "keyword", "match_model"),
    ("src_package_name", "json", "standard library", "json_model"),
    ("src_package_name", "distutils", "standard library", "distutils_model"),
    ("src_package_name", "torch", "a library", "torch_model"),
    ("src_package_name", "sklearn", "a library", "sklearn_model"),
    ("src_package_name", "pil", "a library", "pil_model"),
    ("src_package_name", "seldon_core", "a library", "seldon_core_model"),
    ("src_package_name", "google", "a library", "google_model"),
    ("src_package_name", "numpy", "a library", "numpy_model"),
    ("src_package_name", "Torch", 'has "T"', "torch_model"),
    ("src_package_name", "PIL", 'has "I", "L", "P"', "pil_model"),
    ("src_package_name", "seldon-core", 'has "-"', "seldon_core_model"),
    ("src_package_name", "test", "standard library", "test_model"),
    ("src_package_name", "mlops", "already the name", "mlops_model"),
    ("src_package_name", "MLOps", 'has "L", "M", "O"', "mlops_model"),
    ("src_package_name", "src", "already the name", "src_model"),
    ("src_package_name", "tests", "already the name", "tests_model"),
    ("src_package_name", "conftest", "already the name", "conftest_model"),
    ("src_package_name", "__init__", "reserved by Python", "init"),
    ("src_package_name", "a" * 64, "has 64 characters", "a" * 40),
    ("src_package_name", "ﬁgures", 'has "ﬁ"', "figures"),
    ("author_name", "", "is empty", None),
    ("author_name", "c" * 73, "has 73 characters", None),
    ("author_name", "Jane\tDoe", "U+0009 at position 5", "Jane Doe"),
    ("gcp_project_id", "", "is empty", None),
    ("gcp_project_id", "My_Project", 'has "M", "P", "_"', "my-project"),
    ("gcp_project_id", "my-pr", "has 5 characters", None),
    ("gcp_project_id", "p" * 31, "has 31 characters", None),
    ("gcp_project_id", "my-project-", "ends with a hyphen", "my-project"),
    ("gcp_project_id", "1my-project", "does not start with", "my-project"),
    ("gcp_project_id", "my-google-project", "contains google", None),
    ("gcp_project_id", "nullify-me", "contains null", None),
    ("gcp_project_id", "undefined-project", "contains undefined", None),
    ("gcp_project_id", "my-ssl-project", "contains ssl", None),
    ("gcp_project_id", "my.project", 'has "."', "my-project"),
    ("gcp_project_id", "example:my-project", "two or more names", None),
    ("gcp_project_id", "example.com:my", "after the domain that has 2 characters", None),
    ("gcp_project_id", "Example.com:my-project", "has a domain with other characters", "example.com:my-project"),
    ("gcp_project_id", "-a.com:my-project", "starts or ends with a hyphen", None),
    ("gcp_project_id", "a..com:my-project", "an empty name", None),
    ("gcp_project_id", "a.com:b.com:my-project", "more than one colon", None),
    ("gcp_project_id", ":my-project", "two or more names", None),
    ("gcp_project_id", "x" * 64 + ".com:my-project", "63 between two dots", None),
    ("gcp_project_id", "123456789012", "does not start with", None),
    ("gke_cluster_name", "", "is empty", None),
    ("gke_cluster_name", "My Cluster", 'has " ", "C", "M"', "my-cluster"),
    ("gke_cluster_name", "1cluster", "does not start with", "ml-1cluster"),
    ("gke_cluster_name", "cluster-", "ends with a hyphen", "cluster"),
    ("gke_cluster_name", "c" * 41, "has 41 characters", "c" * 40),
    ("gke_zone", "", "is empty", None),
    ("gke_zone", "asia-southeast1", "not written like a zone", "asia-southeast1-b"),
    ("gke_zone", "Asia-Southeast1-C", "not written like a zone", "asia-southeast1-c"),
    ("gke_zone", "asia_southeast1_c", "not written like a zone", "asia-southeast1-c"),
    ("gke_zone", "asia-southeast1-z", "not written like a zone", None),
    ("gke_zone", "mars-north1-a", "does not start with a part of the world", None),
    ("gke_zone", "us1-a", "does not start with a part of the world", None),
    ("gke_zone", "us-" + "a" * 70 + "1-a", "has 76 characters", None),
    ("gcr_personal_subdir", "Maybe", "not one of the choices", None),
    ("gcr_personal_subdir", "yes", "not one of the choices", "Yes"),
    ("gcr_personal_subdir", True, "not one of the choices", "Yes"),
    ("gcp_credentials", "key file", "not one of the choices", "Key file"),
    ("ci_provider", None, "not one of the choices", "None"),
    ("open_source_license", "Apache-2.0", "not one of the choices", None),
]
BAD_WITH_PERSONAL_FOLDER = [
    ("author_name", "Jane_Doe", 'has "D", "J"', "jane_doe"),
    ("author_name", "Jane Doe", 'has " ", "D", "J"', "jane-doe"),
    ("author_name", "jane..doe", 'has ".."', "jane-doe"),
    ("author_name", "jane._doe", 'has "._"', "jane-doe"),
    ("author_name", "jane___doe", 'has "___"', "jane-doe"),
    ("author_name", "-jane", "does not start and end", "jane"),
    ("author_name", "jane.", "does not start and end", "jane"),
    ("author_name", "团队", "does not start and end", None),
    ("author_name", "j" * 64, "has 64 characters", None),
]


def found_in(rules, **answers):
    return rules.problems(context_of(**answers))


def refused_with(rules, question, answer, context):
    """Return the one problem, and its report."""
    context = {**context, question: answer}
    problem = rules.check(question, context)
    assert problem.faults, f"{answer!r} was accepted"
    return problem, rules.report([problem])


@pytest.fixture(scope="module")
def good_context():
    return context_of()


@pytest.mark.parametrize(("question", "answer", "fault", "remedy"), BAD)
def test_an_answer_that_cannot_work_is_reported_with_its_rule_and_remedy(
    rules, good_context, question, answer, fault, remedy
):
    problem, text = refused_with(rules, question, answer, good_context)
    assert fault in text
    assert problem.remedy == remedy
    assert rules.shown(answer) in text and question in text and "rule:" in text
    assert "nothing was made" in text
    text.encode("utf-8")  # a terminal can show it


@pytest.mark.parametrize(("question", "answer", "fault", "remedy"), BAD_WITH_PERSONAL_FOLDER)
def test_an_owner_that_cannot_be_a_folder_of_images_is_refused(rules, good_context, question, answer, fault, remedy):
    problem, text = refused_with(rules, question, answer, good_context | YES)
    assert fault in text
    assert problem.remedy == remedy
    assert not rules.check(question, good_context | {question: answer}).faults, "without a folder it is free text"


@pytest.mark.parametrize(("question", "remedy"), [(row[0], row[3]) for row in BAD + BAD_WITH_PERSONAL_FOLDER if row[3]])
def test_every_remedy_is_itself_accepted(rules, good_context, question, remedy):
    assert not rules.check(question, good_context | {question: remedy}).faults


@pytest.mark.parametrize("answer", [None, True])
@pytest.mark.parametrize("question", [name for name, default in questions().items() if isinstance(default, str)][:8])
def test_a_users_default_that_yaml_retyped_reaches_the_rules(rules, question, answer):
    """Plain cookiecutter renders the private names of ~/.cookiecutterrc's answers before any hook runs."""
    context = generate_context(str(TEMPLATE / "cookiecutter.json"), {question: answer})
    (found,) = rules.problems(prompt_for_config(context, no_input=True))
    assert (found.question, found.faults) == (question, ["is not a text"])


@pytest.mark.parametrize("answer", [None, 5, ["a"], {"a": "b"}, False])
@pytest.mark.parametrize("question", [name for name, default in questions().items() if isinstance(default, str)][:8])
def test_a_replay_that_holds_something_else_than_text_is_refused(rules, good_context, question, answer):
    if question.startswith("_"):
        pytest.skip("not a question")
    _, text = refused_with(rules, question, answer, good_context)
    assert "is not a text" in text and json.dumps(answer) in text


# --- against the published rules --------------------------------------------------------------------------------------

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


def test_the_choices_are_those_that_are_asked(rules):
    every = {name: answer for name, answer in questions().items() if not name.startswith("_")}
    assert {name: tuple(options) for name, options in every.items() if isinstance(options, list)} == rules.CHOICES
    assert list(every) == list(rules.CHECKS)


# --- answers that can work alone and not together ---------------------------------------------------------------------


def names_in(file):
    """The names of the Kubernetes objects in a rendered file, and the beginnings of names that the server completes."""
    for item in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        metadata = (item.get("metadata") or {}) if isinstance(item, dict) else {}
        yield from filter(None, (metadata.get("name"), metadata.get("generateName")))


def test_the_longest_kubernetes_name_has_at_most_63_characters(rules, make_repository):
    fits = {"repo_name": "r" * 40, "author_name": "a" * 14, "src_package_name": "reader"} | YES
    assert not found_in(rules, **fits)
    [problem] = found_in(rules, **fits | {"author_name": "a" * 15})
    assert problem.question == "author_name" and "64 characters" in problem.faults[0]
    names = {name for file in make_repository(**fits).rglob("*.yml") for name in names_in(file)}
    assert max(map(len, names)) == 63


def test_an_image_has_a_name_of_at_most_255_characters(rules):
    longest = 255 - len("asia.gcr.io//my-project/digit-reader/s2i-builder")
    domain = f"{'a' * 63}.{'b' * 63}.{'c' * 60}.{'d' * (longest - 189)}"
    assert not found_in(rules, gcp_project_id=f"{domain}:my-project")
    [problem] = found_in(rules, gcp_project_id=f"{domain}d:my-project")
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
    assert [problem.question for problem in found_in(rules, **answers)] == ([blamed] if blamed else [])


def test_a_replay_with_an_edited_answer_is_refused_because_its_names_are_of_the_old_one(rules, good_context):
    assert not rules.problems(good_context)
    [problem] = rules.problems(good_context | {"gcp_project_id": "another-project"})
    assert problem.question == "gcp_project_id" and '"my-gcp-project"' in problem.faults[0]


# --- through cookiecutter itself --------------------------------------------------------------------------------------

FIVE = {
    "repo_name": "Digit Reader!",
    "src_package_name": "class",
    "author_name": "Jane_Doe",
    "gcp_project_id": "My_Project",
    "gcr_personal_subdir": "Yes",
    "gke_zone": "asia-southeast1",
}


def refuse(output, settings_file, capfd, answers, **options):
    with typed(answers), pytest.raises(FailedHookException):
        cookiecutter(str(TEMPLATE), output_dir=output, config_file=settings_file, **options)
    return capfd.readouterr().err


def test_five_wrong_answers_are_reported_at_once_and_nothing_is_made(tmp_path, settings_file, capfd):
    told = refuse(tmp_path, settings_file, capfd, FIVE)
    assert told.startswith("5 answers cannot work; nothing was made.\n")
    for question in FIVE.keys() - YES.keys():
        assert told.count(f"\n  {question}: ") == 1
    assert [line.split()[1] for line in told.splitlines() if line.startswith("    try:")] == [
        "digit-reader",
        "class_model",
        "jane_doe",
        "my-project",
        "asia-southeast1-b",
    ]
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_writing_over_a_repository_changes_nothing_when_an_answer_is_wrong(tmp_path, settings_file, capfd):
    kept = tmp_path / "digit-reader" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    refuse(tmp_path, settings_file, capfd, {"gke_zone": "nowhere"}, overwrite_if_exists=True)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == [
        kept.parent.relative_to(tmp_path),
        kept.relative_to(tmp_path),
    ]


@pytest.mark.parametrize("name", ["../evil", "..evil", "a\\b", "$(touch pwned)", "x'''y", "{{ 7 * 7 }}", "a\nb"])
def test_a_repository_name_that_is_a_path_or_code_leaves_nothing(tmp_path, settings_file, capfd, name):
    output = tmp_path / "inside" / "output"
    output.mkdir(parents=True)
    assert "repo_name: " in refuse(output, settings_file, capfd, {"repo_name": name})
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "output"]


def test_a_replay_is_held_to_the_same_rules(tmp_path, settings_file, capfd):
    replay = tmp_path / "replay.json"
    context = context_of() | {"gcr_personal_subdir": "Maybe", "project_name": ["a", 1], "_output_dir": str(tmp_path)}
    replay.write_text(json.dumps({"cookiecutter": context}))
    told = refuse(tmp_path / "made", settings_file, capfd, {}, replay=str(replay))
    assert told.startswith("2 answers cannot work")
    assert 'project_name: ["a", 1]' in told and 'gcr_personal_subdir: "Maybe"' in told
    assert not list((tmp_path / "made").iterdir())


LONG = ["a" * 10_000, "-" * 10_000, "a-" * 5_000, "a.:." * 2_500, "a__." * 2_500, "\n" * 10_000, "数" * 10_000]


@pytest.mark.parametrize("answer", LONG, ids=lambda text: repr(text[:5]))
def test_a_very_long_answer_is_refused_and_shown_short(rules, good_context, answer):
    names = [name for name in rules.CHECKS if name not in rules.CHOICES]
    told = rules.report(rules.problems(good_context | dict.fromkeys(names, answer) | YES))
    assert told.startswith(f"{len(names)} answers cannot work")
    assert "10,000" in told
    assert len(told) < 8_000


def test_the_time_to_refuse_grows_no_faster_than_the_answer(good_context, tmp_path):
    """Ten million characters in all: what is quadratic does not come back within the time limit."""
    hook = create_env_with_context({}).from_string((TEMPLATE / "hooks/pre_gen_project.py").read_text(encoding="utf-8"))
    names = [name for name, default in good_context.items() if isinstance(default, str) and not name.startswith("_")]
    for turn, pattern in enumerate(["a-", "a.", "-", "a__._", "ab"]):
        script = tmp_path / f"hook{turn}.py"
        text = (pattern * 200_000)[:200_000] + "!"
        script.write_text(hook.render(cookiecutter=good_context | dict.fromkeys(names, text)), encoding="utf-8")
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1 and "Traceback" not in done.stderr
