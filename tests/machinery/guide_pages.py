"""The guide as its reader sees it: the built pages, and the blocks of commands on them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bash
import tree_sitter_pwsh
from bs4 import BeautifulSoup
from conftest import ROOT
from tree_sitter import Language, Node, Parser

GUIDE = ROOT / "aisg-context/guide-site"
LAPTOP, LONG, SERVER = "laptop", "laptop, long", "laptop, until Ctrl-C"
CLUSTER, UNTESTED, OUTPUT = "cluster", "cluster, untested", "output"
PARSERS = {
    "bash": Parser(Language(tree_sitter_bash.language())),
    "powershell": Parser(Language(tree_sitter_pwsh.language())),
}
OWN = ("own", "model")  # the pages that change the data and the network
NO_WORDS = ("variable_assignment", "herestring_redirect")  # parts of a command that are not arguments
YOUR_OWN = re.compile("<([A-Z][A-Z_]*)>")  # a reader's own value, such as <YOUR_NAME>


@dataclass(frozen=True)
class Block:
    """A block of code: its page, its language, the title that the reader sees, and the output shown below it."""

    page: str
    language: str
    title: str
    text: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"

    @property
    def file(self) -> str | None:
        """The file of the repository that a reader writes this block into, if its title names one."""
        return self.title if self.title.endswith(".py") else None

    def filled_in(self) -> str:
        """As it is typed: a reader's own values are words."""
        return YOUR_OWN.sub(r"\1", self.text)


def names() -> list[str]:
    """The names of the pages in the order of the navigation, without .md."""
    return re.findall(r"([\w-]+)\.md\b", (GUIDE / "mkdocs.yml").read_text(encoding="utf-8"))


def diagrams(name: str) -> list[str]:
    """The sources of the diagrams that a page's Markdown shows, such as stages.d2, in their order."""
    text = (GUIDE / "docs" / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(r"!\[[^\]]*\]\(\.\./diagrams/([^)]+)\)", text)


def address(name: str) -> str:
    """Where a page is on the site."""
    return "" if name == "index" else f"{name}/"


def page(site: Path, name: str) -> BeautifulSoup:
    """A page of the built site."""
    return BeautifulSoup((site / address(name) / "index.html").read_text(encoding="utf-8"), "html.parser")


def blocks(site: Path) -> list[Block]:
    """Every block of code of the guide, in the order of reading."""
    return [
        Block(name, *_language_title_text(element), _output(element))
        for name in names()
        for element in page(site, name).select("article div.highlight")
    ]


def _language_title_text(element) -> tuple[str, str, str]:
    language = next((name for name in element["class"] if name.startswith("language-")), "language-")
    title = element.find("span", class_="filename")
    return language.removeprefix("language-"), title.get_text() if title else "", element.find("code").get_text()


def _output(element) -> str | None:
    """The text of the block that follows at once, if it is output."""
    after = element.find_next_sibling()
    if after is None or "highlight" not in after.get("class", []):
        return None
    _, title, text = _language_title_text(after)
    return text if title == OUTPUT else None


def syntax(block: Block) -> Node:
    """The tree that the grammar of its shell makes of a block."""
    return PARSERS[block.language].parse(block.filled_in().encode()).root_node


def commands(block: Block) -> Iterator[list[str]]:
    """The words of every command in a block of bash, also of those within others."""
    for node in _nodes(syntax(block)):
        if node.type == "command":
            yield [_word(child) for child in node.children if child.type not in NO_WORDS]


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _word(node: Node) -> str:
    """What the shell makes of a word, but for its variables and substitutions."""
    return "".join(shlex.split(node.text.decode())) or ""
