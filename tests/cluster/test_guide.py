"""The guide's blocks titled "cluster", typed in the order of its pages; "cluster, untested" is for all the others."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

BLOCK = r'^( *)```bash title="cluster"\n(.*?)^\1```\n(?:\1```text title="output"\n(.*?)^\1```)?'
ANSWERS = ({"gcp_credentials": "Key file"}, {"ci_provider": "GitLab CI"}, {"example": "table"})


def blocks(repository: Path) -> list[tuple[str, str, str]]:
    """Return the page, the commands and the shown output of each block."""
    guide = repository / "aisg-context/guide-site"
    pages = re.findall(r"[\w-]+\.md\b", (guide / "mkdocs.yml").read_text(encoding="utf-8"))
    return [
        (page, textwrap.dedent(commands), textwrap.dedent(output))
        for page in pages
        for _, commands, output in re.findall(BLOCK, (guide / "docs" / page).read_text("utf-8"), re.M | re.S)
    ]


def test_the_guides_blocks_do_what_they_say(fresh_kubeconfig, bake):
    repository = bake()
    found = blocks(repository)
    assert found
    environment = os.environ | {"KUBECONFIG": str(fresh_kubeconfig)}
    for page, commands, output in found:
        # What shows its output may exit with 1: `kubectl auth can-i` does, when it says no
        command = ["bash", "-u" if output else "-eu", "-o", "pipefail", "-c", commands]
        done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
        said = f"{page}:\n{commands}{done.stdout}{done.stderr}"
        assert output or done.returncode == 0, said
        assert not output or done.stdout == output, said


@pytest.mark.parametrize("answers", ANSWERS)
def test_no_answer_adds_a_block_that_nobody_types(bake, answers):
    assert blocks(bake(**answers)) == blocks(bake())
