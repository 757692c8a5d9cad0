"""`make pin` writes the digests and commits there are now, all or none, and asks as registries want to be asked."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DIGEST = "sha256:" + "d" * 64


class Registry(BaseHTTPRequestHandler):
    """A registry with one public image, which like Docker Hub gives a token to anybody and nothing without it."""

    def do_HEAD(self):
        if self.headers.get("Authorization") != "Bearer open":
            self.send_response(401)
            realm = f"http://127.0.0.1:{self.server.server_port}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="r",scope="repository:base:pull"')
        elif self.path == "/v2/base/manifests/1" and "index" in self.headers["Accept"]:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", DIGEST)
        else:
            self.send_response(404)
        self.end_headers()

    def do_GET(self):
        good = self.path.startswith("/token?") and "scope=repository%3Abase%3Apull" in self.path
        self.send_response(200 if good else 403)
        self.end_headers()
        self.wfile.write(json.dumps({"token": "open"}).encode())

    def log_message(self, *words):
        pass


@pytest.fixture
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def pin(root: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "docker/pin.py", "--root", root, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_tag_gets_the_digest_that_the_registry_has_it_by_and_keeps_it(host, tmp_path):
    path = tmp_path / "docker/a.Dockerfile"
    path.parent.mkdir()
    path.write_text(f"# FROM here on\nFROM {host}/base:1 AS first\nFROM first\nCOPY --from=first /a /b\n")
    assert pin(tmp_path).returncode == 0
    text = path.read_text()
    assert text == f"# FROM here on\nFROM {host}/base:1@{DIGEST} AS first\nFROM first\nCOPY --from=first /a /b\n"
    assert pin(tmp_path).returncode == 0 and path.read_text() == text


def test_when_one_cannot_be_read_nothing_is_written(host, tmp_path):
    texts = {"a": f"FROM {host}/base:1\n", "b": f"FROM {host}/gone:1\n", "c": "FROM 127.0.0.1:9/base:1\n"}
    folder = tmp_path / "docker"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.Dockerfile").write_text(text)
    done = pin(tmp_path)
    assert (
        done.returncode == 1 and "gone:1: the registry answered" in done.stderr and "Nothing was written" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert {name: (folder / f"{name}.Dockerfile").read_text() for name in texts} == texts


def test_every_image_of_the_dockerfiles_is_one_that_pin_can_ask_for():
    for path in (ROOT / "docker").glob("*.Dockerfile"):
        stages = set()
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if line.startswith("FROM "):
                host = words[1].partition("/")[0]
                assert words[1] in stages or ("." in host and ":" in words[1]), f"{path.name}: {line}"
                stages |= {words[3]} if len(words) > 3 else set()


def test_the_images_of_gitlabs_pipeline_get_digests_too(host, tmp_path):
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text(f"default:\n  image: {host}/base:1\nother:\n  image:\n    name: {host}/base:1\n  script: [make]\n")
    assert pin(tmp_path).returncode == 0
    text = path.read_text()
    assert text.count(f" {host}/base:1@{DIGEST}\n") == 2
    assert pin(tmp_path).returncode == 0 and path.read_text() == text


@pytest.fixture
def github(tmp_path) -> Path:
    """A folder that stands for GitHub: two actions, one whose tags are annotated, as git itself makes them."""
    folder = tmp_path / "github"
    person = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for name, annotated in (("actions/checkout", []), ("google/auth", ["--annotate", "--message=6"])):
        action = folder / name
        action.mkdir(parents=True)
        for words in (
            ["init", "--quiet", "--initial-branch=main"], ["commit", "--quiet", "--allow-empty", "--message=1"],
            ["tag", *annotated, "v6"], ["commit", "--quiet", "--allow-empty", "--message=2"],
        ):  # fmt: skip
            subprocess.run(["git", *person, *words], cwd=action, check=True, capture_output=True)
    return folder


def commit(action: Path, ref: str) -> str:
    done = subprocess.run(["git", "rev-parse", ref], cwd=action, check=True, capture_output=True, text=True)
    return done.stdout.strip()


WORKFLOW = """steps:
  - uses: actions/checkout@v6
    with:
      persist-credentials: false
  - if: true
    uses: google/auth/deep@v6
  - uses: google/auth@main
  - uses: ./own
  - run: "echo uses: actions/checkout@v6"
"""


def test_an_action_gets_the_commit_that_its_tag_is_of_and_keeps_it(github, tmp_path):
    path = tmp_path / ".github/workflows/ci.yml"
    path.parent.mkdir(parents=True)
    path.write_text(WORKFLOW)
    rules = tmp_path / ".github/zizmor.yml"
    rules.write_text('policies:\n  "*": ref-pin\n')
    done = pin(tmp_path, "--github", str(github))
    assert done.returncode == 0, done.stderr
    text, (checkout, auth) = path.read_text(), (github / "actions/checkout", github / "google/auth")
    assert f"  - uses: actions/checkout@{commit(checkout, 'v6')} # v6\n" in text
    assert f"    uses: google/auth/deep@{commit(auth, 'v6^{commit}')} # v6\n" in text
    assert f"  - uses: google/auth@{commit(auth, 'main')} # main\n" in text
    assert text.endswith('  - uses: ./own\n  - run: "echo uses: actions/checkout@v6"\n')
    assert rules.read_text() == 'policies:\n  "*": hash-pin\n'  # from now on a tag is a finding
    assert pin(tmp_path, "--github", "/nowhere").returncode == 0 and path.read_text() == text


@pytest.mark.parametrize(
    ("action", "told"), [("actions/checkout@v7", "has no tag or branch v7"), ("gone/away@v1", "could not be read")]
)
def test_when_an_action_cannot_be_read_nothing_is_written(github, tmp_path, action, told):
    path = tmp_path / ".github/workflows/ci.yml"
    path.parent.mkdir(parents=True)
    text = f"steps:\n  - uses: actions/checkout@v6\n  - uses: {action}\n"
    path.write_text(text)
    done = pin(tmp_path, "--github", str(github))
    assert done.returncode == 1 and told in done.stderr and "Nothing was written" in done.stderr
    assert "Traceback" not in done.stderr and path.read_text() == text
