"""The guide of a repository: names as they were given, and commands that CI runs where its own tests do not."""

import ast
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import TEMPLATE
from test_answers_round_trip import HOSTILE

ELSEWHERE = "the template's CI: "


def run_elsewhere() -> dict[str, str]:
    """The commands that no test of the guide types, each with where it is run."""
    source = ast.parse((TEMPLATE / "tests/machinery/test_guide.py").read_text(encoding="utf-8"))
    (table,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RUN_ELSEWHERE"
    )
    return table


def test_what_is_said_to_run_in_ci_runs_there():
    said = [what.removeprefix(ELSEWHERE) for what in run_elsewhere().values() if what.startswith(ELSEWHERE)]
    ci = (TEMPLATE / ".ci/run").read_text(encoding="utf-8")
    assert said and not [command for command in said if command not in ci]


def test_what_is_said_to_be_in_a_test_has_that_test():
    said = {word for what in run_elsewhere().values() for word in re.findall(r"\btest_\w+\.py\b", what)}
    there = {path.name for path in (TEMPLATE / "tests").rglob("test_*.py")}
    assert said and said <= there


def test_the_guide_stays_short():
    pages = list((TEMPLATE / "{{cookiecutter.repo_name}}/aisg-context/guide-site/docs").glob("*.md"))
    assert pages and sum(len(page.read_text(encoding="utf-8").splitlines()) for page in pages) <= 1500


class Page(HTMLParser):
    """The title of a page, the name in its header, and all its tags."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.logo: set[str | None] = set()
        self.title, self._in_title = "", False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self._in_title = tag == "title"
        if attributes.get("data-md-component") == "logo":
            self.logo |= {attributes["title"], attributes["aria-label"]}

    def handle_endtag(self, tag):
        self._in_title = False

    def handle_data(self, data):
        self.title += data if self._in_title else ""


@pytest.fixture(scope="module")
def site(make_repository, tmp_path_factory):
    """Build the guide of a repository with the tools that a team has, strictly; gives its folder."""
    python = (
        Path(os.environ.get("TEAM_VENV") or pytest.skip("NOT CHECKED: TEAM_VENV names no environment")) / "bin/python"
    )

    def build(**answers: str) -> Path:
        output = tmp_path_factory.mktemp("site")
        configuration = make_repository(**answers) / "aisg-context/guide-site/mkdocs.yml"
        # d2, which draws the diagrams, is a program of the environment
        kept = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "NO_MKDOCS_2_WARNING": "true"}
        flags = ["--strict", f"--config-file={configuration}", f"--site-dir={output}"]
        command = [python, "-m", "mkdocs", "build", *flags]
        done = subprocess.run(command, env=os.environ | kept, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return output

    return build


@pytest.fixture(scope="module")
def plain(site) -> Page:
    """The first page of a repository whose name is two words."""
    return Page((site(repo_name="digit-reader") / "index.html").read_text(encoding="utf-8"))


FOR_HTML = [text for text in HOSTILE if set(text) & set("<>&\"'") or text.strip() != text]


@pytest.mark.slow
@pytest.mark.parametrize("name", FOR_HTML)
def test_a_name_is_on_the_page_as_it_was_given(site, plain, name):
    folder = site(project_name=name[:72], description=name, repo_name="digit-reader")
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    assert page.title == name[:72] and page.logo == {name[:72]}
    assert page.tags == plain.tags


@pytest.mark.slow
def test_the_guide_is_whole_in_a_folder_of_its_owners(site):
    folder = site(gcr_personal_subdir="Yes", author_name="jane_doe", gcp_project_id="example.com:my-project")
    page = (folder / "components/index.html").read_text(encoding="utf-8")
    assert "eu.gcr.io" not in page and "asia.gcr.io/example.com/my-project/jane_doe/digit-reader" in page
