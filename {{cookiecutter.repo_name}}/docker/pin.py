"""`make pin`: pins what comes from outside: images by their digests, s2i by its checksum, actions by their commits.

Images are those of the Dockerfiles and of GitLab's pipeline, actions those of GitHub's workflows. What is read now is
what is written: look at the change before you commit it. Run it again when a tag has moved on.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import requests

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 60  # seconds without an answer
MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
S2I = "https://github.com/openshift/source-to-image/releases/download/{release}/source-to-image-{version}-linux-amd64.tar.gz"

# An action with a version that is no commit (`./folder`, an action of the repository itself, has none), and an image
ACTION = re.compile(r"^(?P<start>\s*(- +)?uses: +)(?P<name>[\w.-]+(/[\w.-]+)+)@(?P<tag>(?![0-9a-f]{40}\b)\S+)", re.M)
IMAGE = re.compile(r"^(?P<start>\s*(image|name): +)(?P<image>[\w-]+\.[\w.-]+(:\d+)?/[\w./-]+:[\w.-]+)$", re.M)


def digest_of(image: str) -> str:
    """The digest that a registry has an image by, HOST/NAME:TAG.

    Raises:
        ClickException: the registry does not answer, or has no such image.
    """
    host, _, rest = image.partition("/")
    name, _, tag = rest.rpartition(":")
    local = host.partition(":")[0] in ("localhost", "127.0.0.1")
    server = "registry-1.docker.io" if host == "docker.io" else host
    address = f"{'http' if local else 'https'}://{server}/v2/{name}/manifests/{tag}"
    headers = {"Accept": MANIFESTS}
    try:
        answer = requests.head(address, headers=headers, timeout=TIMEOUT, allow_redirects=True)
        if answer.status_code == 401:  # a public image too is asked for with a token, which anybody gets
            headers["Authorization"] = f"Bearer {_token(answer.headers.get('WWW-Authenticate', ''))}"
            answer = requests.head(address, headers=headers, timeout=TIMEOUT, allow_redirects=True)
    except (requests.RequestException, ValueError, KeyError) as error:
        raise click.ClickException(f"{image}: the registry gave no answer ({error}). Nothing was written.") from None
    digest = answer.headers.get("Docker-Content-Digest", "")
    if not answer.ok or not digest.startswith("sha256:"):
        raise click.ClickException(f"{image}: the registry answered {answer.status_code}. Nothing was written.")
    return digest


def _token(challenge: str) -> str:
    """A token for what the registry's challenge asks for: Bearer realm="...",service="...",scope="..."."""
    kind, _, rest = challenge.partition(" ")
    if kind.lower() != "bearer":
        raise ValueError(f"it asks for {kind or 'nothing that can be given'}")
    wanted = requests.utils.parse_dict_header(rest)
    answer = requests.get(wanted.pop("realm"), params=wanted, timeout=TIMEOUT)
    answer.raise_for_status()
    content = answer.json()
    return content.get("token") or content["access_token"]


def checksum_of(version: str) -> str:
    """SHA-256 (hex) of s2i's release for Linux, as it is served now."""
    address = S2I.format(release=version.rpartition("-")[0], version=version)
    try:
        answer = requests.get(address, timeout=TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise click.ClickException(f"{address} could not be had ({error}). Nothing was written.") from None
    return hashlib.sha256(answer.content).hexdigest()


def commit_of(github: str, action: str) -> str:
    """The commit that a version of an action is now, OWNER/NAME[/FOLDER]@TAG, as git gives it.

    Raises:
        ClickException: git does not get there, or the repository has no such tag or branch.
    """
    name, _, tag = action.partition("@")
    address = f"{github}/{'/'.join(name.split('/')[:2])}"
    named = f"refs/tags/{tag}"
    wanted = [named + "^{}", named, f"refs/heads/{tag}"]  # the first is what an annotated tag is of
    quiet = os.environ | {"GIT_TERMINAL_PROMPT": "0"}  # git would ask who we are, where there is no such repository
    command = ["git", "ls-remote", address, *wanted]
    try:
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise click.ClickException(f"{action}: {address} could not be read ({reason}). Nothing was written.") from None
    found = {ref: commit for commit, ref in (line.split("\t") for line in done.stdout.splitlines())}
    commits = [found[ref] for ref in wanted if ref in found]
    if not commits:
        raise click.ClickException(f"{action}: {address} has no tag or branch {tag}. Nothing was written.")
    return commits[0]


def pinned_workflow(text: str, github: str) -> str:
    """A workflow of GitHub's with its actions pinned, and their versions beside them; what is pinned already stays."""

    def pin(found: re.Match[str]) -> str:
        commit = commit_of(github, f"{found['name']}@{found['tag']}")
        click.echo(f"  {found['name']}@{commit} # {found['tag']}")
        return f"{found['start']}{found['name']}@{commit} # {found['tag']}"

    return ACTION.sub(pin, text)


def pinned_pipeline(text: str) -> str:
    """GitLab's pipeline with its images pinned."""

    def pin(found: re.Match[str]) -> str:
        digest = digest_of(found["image"])
        click.echo(f"  {found['image']}@{digest}")
        return f"{found['start']}{found['image']}@{digest}"

    return IMAGE.sub(pin, text)


def pinned(text: str) -> str:
    """A Dockerfile with its images and s2i pinned; what is pinned already stays."""
    lines = text.splitlines(keepends=True)
    arguments = dict(line.split()[1].split("=", 1) for line in lines if line.startswith("ARG ") and "=" in line)
    for number, line in enumerate(lines):
        words = line.split()
        if line.startswith("FROM ") and ":" in words[1] and "@" not in words[1]:
            digest = digest_of(words[1])
            click.echo(f"  {words[1]}@{digest}")
            lines[number] = line.replace(words[1], f"{words[1]}@{digest}", 1)
        elif line.startswith('ARG S2I_SHA256=""'):
            checksum = checksum_of(arguments["S2I_VERSION"])
            click.echo(f"  s2i {arguments['S2I_VERSION']} sha256 {checksum}")
            lines[number] = line.replace('""', f'"{checksum}"')
    return "".join(lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=ROOT, hidden=True)
@click.option("--github", default="https://github.com", hidden=True)
def main(root: Path, github: str) -> None:
    """Pin what the Dockerfiles and CI take from outside."""
    kinds: list[tuple[str, Callable[[str], str]]] = [
        ("docker/*.Dockerfile", pinned),
        (".github/workflows/*.y*ml", lambda text: pinned_workflow(text, github)),
        (".gitlab-ci.yml", pinned_pipeline),
        (".github/zizmor.yml", lambda text: text.replace('"*": ref-pin', '"*": hash-pin')),
    ]
    texts = {}
    for pattern, pin in kinds:
        for path in sorted(root.glob(pattern)):
            click.echo(str(path.relative_to(root)))
            texts[path] = pin(path.read_text(encoding="utf-8"))
    for path, text in texts.items():  # only once everything was read
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(prog_name="pin"))
