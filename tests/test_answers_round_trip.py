"""Free text comes back exactly, and stays text, from every format that carries it."""

import json
import math
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import cmarkgfm
import markdown
import pytest
import yaml
from conftest import EVERY_PAIR, TEMPLATE, context_of, expression, questions, typed
from cookiecutter.main import cookiecutter
from cookiecutter.utils import create_env_with_context
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import FileSystemLoader
from markdown_it import MarkdownIt

# All that the rules permit: no control character, no half of a surrogate pair.
FREE_TEXT = st.text(
    st.one_of(
        st.sampled_from("\\`*_{}[]()<>#+-.!|~&$^=:;,?@%'\"/ 0a数\u00a0\u3000\u200f\ufeff\uffff😀"),
        st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]),
    ),
    min_size=1,
    max_size=72,
)
HOSTILE = [
    '"); import os; os.system("touch pwned"); ("',
    "'''); raise SystemExit(0)  # \"\"\"",
    "{{ 7 * 7 }} {% raw %} {% endraw %} {% if %} {# note #} }} %}",
    "${HOME} $(touch pwned) `touch pwned` \\$x %PATH% && ; | > pwned",
    "<script>alert(1)</script> &lt;b&gt; &amp; &#64; <!-- x --> <https://x.y>",
    "key: value # not a comment",
    "- a list",
    "@at-sign",
    "# a heading #",
    "1. an item",
    "12) an item",
    "> a quotation",
    "+ plus",
    "    code",
    "--- ",
    "===",
    "!!! note",
    "!!python/object/apply:os.system ['touch pwned']",
    "&anchor *alias ?key | > %TAG",
    "*em* **strong** _em_ `code` ~~gone~~ ==mark== x^2^ H~2~O",
    "[link](https://x.y) ![image](x.png) [^1] [ref][1] [TOC] [x]: y",
    "https://x.y/a_b_c?d=1&e=2 www.a_b.c me@x.y :smile: $x^2$ @user #1",
    "| a | b |",
    "back\\slash \\n \\u0041 \\\\ end\\",
    "ends in a backslash \\",
    "\"quoted\" 'single' “curly” «guillemets»",
    " spaces around ",
    "\u00a0no-break\u3000ideographic\u2003em ",
    "مرحبا بالعالم \u200fright to left\u200e",
    "智能数字 ตัวเลข číslice Ψηφία 👩🏽‍🔬🇸🇬 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "\ufeffbyte order mark \ufffe\uffff \U0010ffff \ue000",
    "null",
    "yes",
    "1e3",
    "2026-01-01",
    "~",
    "<<EOF",
    "{: .class #id }",
    "Term\u00ad: soft-hyphen",
]
# The questions that any text answers, and how long it may be
FIELDS = {"project_name": 72, "description": 200, "author_name": 72}


def macro(file, name):
    """A macro of the template as a function, compiled by cookiecutter's own environment."""
    environment = create_env_with_context({})
    environment.loader = FileSystemLoader(TEMPLATE / "templates")
    return getattr(environment.get_template(file).module, name)


def free_text(test):
    """Run a test of one text on the hand-picked texts and on those that hypothesis finds."""
    for text in HOSTILE:
        test = example(text)(test)
    return settings(max_examples=400, deadline=None, database=None)(given(FREE_TEXT)(test))


class Text(HTMLParser):
    """The text of an HTML page, and the tags around it."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.text, self.tags = "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def github(text):
    """GitHub's own parser with its extensions: tables, autolinks, strikethrough, task lists."""
    return cmarkgfm.github_flavored_markdown_to_html(text)


def without_addresses(tags):
    """GitHub makes a link of an e-mail address, whatever is escaped; it reads as it was written."""
    return [tag for tag in tags if tag != "a"]


def commonmark(text):
    return MarkdownIt("commonmark").render(text)


def python_markdown(text):
    """The parser of MkDocs, with extensions that give further characters a meaning."""
    return markdown.markdown(text, extensions=["extra", "toc", "admonition", "sane_lists"])


def test_every_question_that_any_text_answers_is_tried(rules):
    context = context_of()
    asked = [name for name in rules.CHECKS if not rules.check(name, context | {name: HOSTILE[0]}).faults]
    assert asked == list(FIELDS)


def test_every_text_is_quoted_by_the_same_expression():
    """Jinja cannot share an expression between the variables of cookiecutter.json, so their copies must be equal."""
    written = {name: questions()[f"__{name}_quoted"] for name in FIELDS}
    assert len({text.replace(f"cookiecutter.{name}", "ANSWER") for name, text in written.items()}) == 1


@pytest.mark.parametrize("parse", [commonmark, github, python_markdown])
@pytest.mark.parametrize("place", ["{}\n", "# {}\n", "before\n\n{}\n\nafter\n", "- {}\n"])
def test_markdown_shows_exactly_the_text(parse, place):
    render = macro("markdown.jinja", "escape")
    expected_tags = Text(parse(place.format("x"))).tags

    @free_text
    def show(text):
        page = Text(parse(place.format(render(text))))
        shown = page.text.strip("\n")
        if place.startswith("before"):
            shown = shown.removeprefix("before").removesuffix("after").strip("\n")
        assert shown == text
        assert without_addresses(page.tags) == expected_tags

    show()


@pytest.mark.parametrize("parse", [github, python_markdown])
def test_markdown_shows_exactly_the_text_in_a_cell_of_a_table(parse):
    render = macro("markdown.jinja", "escape")

    @free_text
    def show(text):
        table = f"| a | b |\n|---|---|\n| {render(text)} | end |\n"
        page = Text(parse(table))
        assert without_addresses(page.tags)[-2:] == ["td", "td"] and page.tags.count("td") == 2
        assert page.text.replace("\n", "") == f"ab{text}end"

    show()


def test_a_quoted_text_is_the_same_in_toml_yaml_and_json():
    quote = expression("__description_quoted")

    @free_text
    def parse(text):
        quoted = quote(description=text, _escapes=questions()["_escapes"])
        assert tomllib.loads(f"a = {quoted}\nb = [{{ c = {quoted} }}]\n") == {"a": text, "b": [{"c": text}]}
        assert json.loads(f'{{"a": {quoted}}}') == {"a": text}
        assert yaml.safe_load(f"a: {quoted}\nb: [{quoted}, c]\n{quoted}: d # e\n") == {
            "a": text,
            "b": [text, "c"],
            text: "d",
        }

    parse()


# --- repositories -----------------------------------------------------------------------------------------------------


def carried(repository):
    """The free texts, parsed back from the files of a repository."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    record = json.loads((repository / ".template-answers.json").read_text(encoding="utf-8"))["answers"]
    readme = Text(github((repository / "README.md").read_text(encoding="utf-8"))).text
    return project, record, readme


def parse_all(repository):
    """Parse every file that has a parser here, and count every file's lines."""
    lines = {}
    for path in sorted(path for path in repository.rglob("*") if path.is_file()):
        content = path.read_bytes()
        lines[str(path.relative_to(repository))] = content.count(b"\n")
        if path.suffix == ".toml":
            tomllib.loads(content.decode())
        elif path.suffix == ".json":
            json.loads(content)
        elif path.suffix in (".yml", ".yaml"):
            list(yaml.compose_all(content, Loader=yaml.SafeLoader))  # the syntax: tags may be for other readers
        elif path.suffix == ".py":
            compile(content, path.name, "exec")
    return lines


@pytest.mark.parametrize("number", range(max(len(EVERY_PAIR), math.ceil(len(HOSTILE) / len(FIELDS)))))
def test_a_repository_carries_the_texts_in_every_file(make_repository, number):
    """Every pair of choices, and a text for each field; together they carry all of them."""
    choices = EVERY_PAIR[number % len(EVERY_PAIR)]
    first = len(FIELDS) * number
    texts = {name: HOSTILE[(first + i) % len(HOSTILE)][:longest] for i, (name, longest) in enumerate(FIELDS.items())}
    if choices["gcr_personal_subdir"] == "Yes":
        texts["author_name"] = "jane_doe"
    repository = make_repository(repo_name="digit-reader", **texts, **choices)
    plain = make_repository(repo_name="digit-reader", **dict.fromkeys(FIELDS, "x"), **choices)
    assert parse_all(repository) == parse_all(plain), "a text has added a line or a file"
    project, record, readme = carried(repository)
    assert (project["description"], project["authors"]) == (texts["description"], [{"name": texts["author_name"]}])
    assert {name: record[name] for name in texts} == texts
    if choices["open_source_license"] != "No license file":
        assert f" {texts['author_name']}\n" in (repository / "LICENSE").read_text(encoding="utf-8")
    title, _, rest = readme.partition("\n")
    assert title == texts["project_name"] and texts["description"] in rest
    assert not list(repository.parent.rglob("pwned")) and not (TEMPLATE / "pwned").exists()


def test_free_text_is_quoted_for_the_format_of_its_file():
    """Plain text needs none, the record uses tojson, Markdown its macro, and every other file a `__..._quoted`."""
    as_it_is = {"LICENSE", ".template-answers.json"}
    answer = rf"cookiecutter\.(?:{'|'.join(FIELDS)})\b"
    for path in (TEMPLATE / "{{cookiecutter.repo_name}}").rglob("*"):
        assert not re.search(answer, path.name)
        if path.is_file() and not any(name in path.name for name in as_it_is):
            text = path.read_text(encoding="utf-8", errors="replace")
            if path.suffix == ".md":
                text = re.sub(rf"{{{{ escape\({answer}\) }}}}", "", text)
            assert not re.search(answer, text), path


def test_a_replay_renders_the_same_as_the_answers_it_holds(make_repository, settings_file, tmp_path):
    text = HOSTILE[2]
    answers = {"project_name": "Replayed", "description": text, "author_name": text, "gke_zone": "europe-west10-a"}
    with typed(answers):
        first = cookiecutter(str(TEMPLATE), output_dir=tmp_path / "first", config_file=settings_file)
    again = cookiecutter(str(TEMPLATE), output_dir=tmp_path / "again", config_file=settings_file, replay=True)
    assert contents(first) == contents(again)


def contents(repository):
    """Every file of a folder, byte for byte."""
    return {path.relative_to(repository): path.read_bytes() for path in Path(repository).rglob("*") if path.is_file()}
