"""Answers that can work are accepted, and every name made from them is right everywhere."""

import json
import os
import re
import sys
import tomllib

import pexpect
import pytest
from conftest import TEMPLATE, context_of, questions, typed
from cookiecutter.main import cookiecutter
from hypothesis import example, given, settings
from hypothesis import strategies as st

YES = {"gcr_personal_subdir": "Yes"}

GOOD = [
    {},
    {"project_name": "x"},
    {"project_name": "a" * 72},
    {"project_name": "智能 数字"},
    {"project_name": "👩🏽‍🔬 & café {{ x }}"},
    {"description": ""},
    {"description": "b" * 200},
    {"repo_name": "a"},
    {"repo_name": "a" * 40},
    {"repo_name": "a1-2-b3"},
    {"src_package_name": "reader2"},
    {"src_package_name": "_reader"},
    {"src_package_name": "in_out"},
    {"author_name": "Jane Doe, PhD"},
    {"author_name": "团队"},
    {"author_name": "jane-doe"} | YES,
    {"author_name": "jane_doe"} | YES,
    {"author_name": "jane__doe.x---y"} | YES,
    {"author_name": "7up"} | YES,
    {"gcp_project_id": "my--proj"},
    {"gcp_project_id": "abcdef"},
    {"gcp_project_id": "a" * 30},
    {"gcp_project_id": "project-1234"},
    {"gcp_project_id": "example.com:my-project"},
    {"gcp_project_id": "a.b-c.1.example.com:my-project"},
    {"gcp_project_id": "google.com:my-project"},
    {"gke_cluster_name": "c"},
    {"gke_cluster_name": "my--cluster-1"},
    {"gke_zone": "us-central1-f"},
    {"gke_zone": "me-west1-a"},
    {"gke_zone": "europe-west12-c"},
    {"gke_zone": "northamerica-northeast2-b"},
    {"gcp_credentials": "Key file"},
    {"ci_provider": "None"},
    {"open_source_license": "No license file"},
]


@pytest.mark.parametrize("answers", GOOD, ids=lambda answers: json.dumps(answers)[:60])
def test_an_answer_that_can_work_is_accepted(rules, answers):
    assert rules.report(rules.problems(context_of(**answers))).startswith("0 answers")


# --- names made from answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "host"),
    [
        ("asia-southeast1-c", "asia.gcr.io"),
        ("australia-southeast1-a", "asia.gcr.io"),
        ("me-central1-a", "asia.gcr.io"),
        ("europe-west1-b", "eu.gcr.io"),
        ("africa-south1-a", "eu.gcr.io"),
        ("us-west4-a", "us.gcr.io"),
        ("northamerica-northeast1-a", "us.gcr.io"),
        ("southamerica-east1-c", "us.gcr.io"),
    ],
)
def test_images_are_kept_near_the_cluster(zone, host):
    assert context_of(gke_zone=zone)["__image_prefix"] == f"{host}/my-gcp-project/digit-reader"


def test_an_old_project_a_folder_of_its_own_and_a_team_alias_together():
    context = context_of(
        gcp_project_id="example.com:my-project", author_name="jane_doe.x", gke_zone="us-west1-a", **YES
    )
    assert context["__image_prefix"] == "us.gcr.io/example.com/my-project/jane_doe.x/digit-reader"
    assert context["__service_account_domain"] == "my-project.example.com.iam.gserviceaccount.com"
    assert context["__bucket"] == "my-project-digit-reader"
    assert context["__deployment_name"] == "digit-reader-jane-doe-x"


def test_without_a_domain_the_project_is_itself():
    context = context_of(author_name="Jane & Doe")
    assert context["__image_prefix"] == "asia.gcr.io/my-gcp-project/digit-reader"
    assert context["__service_account_domain"] == "my-gcp-project.iam.gserviceaccount.com"
    assert context["__deployment_name"] == "digit-reader"


LABEL = "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?"
ACCEPTED = st.fixed_dictionaries(
    {
        "gcp_project_id": st.from_regex(
            rf"({LABEL}(\.{LABEL}){{1,3}}:)?[a-z][a-z0-9-]{{4,28}}[a-z0-9]", fullmatch=True
        ),
        "author_name": st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}", fullmatch=True),
        "repo_name": st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True),
        "gke_zone": st.sampled_from(["asia-east1-a", "europe-west10-a", "us-central1-f", "me-west1-c"]),
        "gcr_personal_subdir": st.sampled_from(["Yes", "No"]),
        "src_package_name": st.just("reader_of_digits"),
    }
)


def test_every_name_made_from_accepted_answers_is_valid_where_it_is_used(rules):
    @settings(max_examples=80, deadline=None, database=None)
    @given(ACCEPTED)
    @example({"repo_name": "r" * 40, "gcp_project_id": "p" * 30})
    @example({"repo_name": "r" * 31 + "-" + "r" * 8, "gcp_project_id": "p" * 30})
    def check(answers):
        context = context_of(**answers)
        if rules.problems(context):
            return  # the limits on answers taken together have tests of their own
        kubernetes = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
        assert re.fullmatch(kubernetes, context["__deployment_name"])
        assert re.fullmatch(kubernetes, f"{context['repo_name']}-package-model")
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", context["__bucket"])
        host, *components = context["__image_prefix"].split("/")
        assert re.fullmatch(r"(asia|eu|us)\.gcr\.io", host)
        assert all(re.fullmatch(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*", component) for component in components)
        assert re.fullmatch(r"[a-z0-9.-]+\.iam\.gserviceaccount\.com", context["__service_account_domain"])

    check()


# --- defaults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project", "repository", "package"),
    [
        ("Digit Reader", "digit-reader", "digit_reader"),
        ("Test", "test", "test_model"),
        ("Class", "class", "class_model"),
        ("JSON", "json", "json_model"),
        ("智能 数字", "zhi-neng-shu-zi", "zhi_neng_shu_zi"),
        ("3D Digits", "ml-3d-digits", "ml_3d_digits"),
        ("!!!", "ml-project", "ml_project"),
        ("A" * 39 + " B", "a" * 39, "a" * 39 + "_model"),
    ],
)
def test_a_later_default_follows_from_an_earlier_answer_and_can_work(rules, project, repository, package):
    context = context_of(project_name=project)
    assert (context["repo_name"], context["src_package_name"]) == (repository, package)
    assert not rules.problems(context)


def test_the_defaults_of_nearly_every_project_name_can_work(rules):
    @settings(max_examples=80, deadline=None, database=None)
    @given(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=72).filter(str.strip)
    )
    def check(project):
        context = context_of(project_name=project)
        if context["repo_name"] not in rules.MODULES:
            assert not rules.problems(context)

    check()


# --- the questions ----------------------------------------------------------------------------------------------------


def test_every_question_is_asked_in_words_and_every_choice_is_explained():
    asked = questions()
    names = [name for name in asked if not name.startswith("_")]
    assert list(asked["__prompts__"]) == names
    for name in names:
        prompt = asked["__prompts__"][name]
        words = [prompt] if isinstance(prompt, str) else prompt.values()
        assert all(word and "[" not in word for word in words), "rich reads [ as markup"
        assert not isinstance(asked[name], bool)
        if isinstance(prompt, dict):
            assert set(prompt) == {"__prompt__", *asked[name]}


def test_a_person_at_the_prompts_gets_what_was_typed(tmp_path, settings_file):
    """The real prompts on a real terminal: defaults taken, a choice by its number, a text with everything in it."""
    description = "\"; {{ 7 * 7 }} {% x %} [bold]b[/] \\ ' 数字"
    command = ["-m", "cookiecutter", "--config-file", str(settings_file), "--output-dir", str(tmp_path), str(TEMPLATE)]
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=30, env=os.environ | {"TERM": "dumb"})
    replies = {
        "description": description,
        "gcp_project_id": "example.com:my-project",
        "gcr_personal_subdir": "2",
        "gke_zone": "europe-west10-a",
        "open_source_license": "3",
    }
    asked = list(questions()["__prompts__"])
    for number, name in enumerate(asked, start=1):
        child.expect_exact(f"[{number}/{len(asked)}]")
        child.expect(r"\): $|\): ")
        child.sendline(replies.get(name, ""))
    child.expect("make setup pipeline")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    record = json.loads((tmp_path / "digit-reader/.template-answers.json").read_text(encoding="utf-8"))["answers"]
    assert record["description"] == description
    assert record["gcr_personal_subdir"] == "Yes" and record["open_source_license"] == "No license file"


def test_a_replay_is_taken_as_it_was_typed(tmp_path, settings_file):
    description = "{{ 7 * 7 }} {% raw %} ''' \"\"\" \\"
    replay = tmp_path / "replay.json"
    replay.write_text(json.dumps({"cookiecutter": context_of(description=description)}), encoding="utf-8")
    made = cookiecutter(str(TEMPLATE), output_dir=tmp_path / "made", config_file=settings_file, replay=str(replay))
    with open(f"{made}/pyproject.toml", "rb") as file:
        assert tomllib.load(file)["project"]["description"] == description


def test_no_two_repositories_of_the_same_answers_differ(tmp_path, settings_file):
    made = []
    for folder in ("one", "two"):
        with typed({}):
            made.append(cookiecutter(str(TEMPLATE), output_dir=tmp_path / folder, config_file=settings_file))
    files = [
        {path.relative_to(root): path.read_bytes() for path in (tmp_path / root).rglob("*") if path.is_file()}
        for root in made
    ]
    assert files[0] == files[1]
