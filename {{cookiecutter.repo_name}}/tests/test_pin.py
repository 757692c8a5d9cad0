"""`make pin` writes the digest that the registry gives, asks as registries want to be asked, and writes all or none."""

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


def pin(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "docker/pin.py", "--folder", folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_tag_gets_the_digest_that_the_registry_has_it_by_and_keeps_it(host, tmp_path):
    path = tmp_path / "a.Dockerfile"
    path.write_text(f"# FROM here on\nFROM {host}/base:1 AS first\nFROM first\nCOPY --from=first /a /b\n")
    assert pin(tmp_path).returncode == 0
    text = path.read_text()
    assert text == f"# FROM here on\nFROM {host}/base:1@{DIGEST} AS first\nFROM first\nCOPY --from=first /a /b\n"
    assert pin(tmp_path).returncode == 0 and path.read_text() == text


def test_when_one_cannot_be_read_nothing_is_written(host, tmp_path):
    texts = {"a": f"FROM {host}/base:1\n", "b": f"FROM {host}/gone:1\n", "c": "FROM 127.0.0.1:9/base:1\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.Dockerfile").write_text(text)
    done = pin(tmp_path)
    assert (
        done.returncode == 1 and "gone:1: the registry answered" in done.stderr and "Nothing was written" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert {name: (tmp_path / f"{name}.Dockerfile").read_text() for name in texts} == texts


def test_every_image_of_the_dockerfiles_is_one_that_pin_can_ask_for():
    for path in (ROOT / "docker").glob("*.Dockerfile"):
        stages = set()
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if line.startswith("FROM "):
                host = words[1].partition("/")[0]
                assert words[1] in stages or ("." in host and ":" in words[1]), f"{path.name}: {line}"
                stages |= {words[3]} if len(words) > 3 else set()
