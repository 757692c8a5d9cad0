"""Answers that cannot work are refused before anything is made, with the rule and, where there is one, a remedy."""

import json
import subprocess
import sys

import pytest
from conftest import TEMPLATE, context_of, questions, typed
from cookiecutter.exceptions import FailedHookException
from cookiecutter.generate import generate_context
from cookiecutter.main import cookiecutter
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context

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


def refused_with(rules, question, answer, context):
    """Return the one problem, and its report."""
    context = {**context, question: answer}
    problem = rules.check(question, context)
    assert problem.faults, f"{answer!r} was accepted"
    return problem, rules.report([problem])


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
