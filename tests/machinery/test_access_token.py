"""CI's way into the registry: an ID token becomes an access token of the service account, and that a login. No key."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from conftest import ROOT
from mlops.errors import UserError
from mlops.platform import access_token

PROVIDER = "projects/1/locations/global/workloadIdentityPools/ci/providers/p"
ACCOUNT = "image-pusher@p.iam.gserviceaccount.com"


class Google(BaseHTTPRequestHandler):
    """The two services, which take what the documentation of workload identity federation says, and nothing else."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/v1/token":
            asked = {name: values[0] for name, values in parse_qs(body).items()}
            good = (
                asked["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
                and asked["audience"] == f"//iam.googleapis.com/{PROVIDER}"
                and asked["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
                and asked["subject_token"] == "the-jobs-own"
            )
            answer = {"access_token": "federated", "expires_in": 3600, "token_type": "Bearer"}
            answer["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
            refusal = {"error": "unauthorized_client", "error_description": "rejected by the attribute condition"}
        else:
            act_as = f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
            good = self.path == act_as and self.headers["Authorization"] == "Bearer federated"
            good = good and json.loads(body)["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
            answer = {"accessToken": "of-the-account", "expireTime": "2100-01-01T00:00:00Z"}
            refusal = {"error": {"code": 403, "message": "no iam.serviceAccounts.getAccessToken", "status": "DENIED"}}
        content = json.dumps(answer if good else refusal).encode()
        self.send_response(200 if good else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture
def google():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Google)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def ask(google, monkeypatch):
    """Ask the two services for a token, as the job of CI does."""
    monkeypatch.setenv("GCP_WORKLOAD_IDENTITY_PROVIDER", PROVIDER)
    monkeypatch.setenv("GCP_SERVICE_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("GOOGLE_ID_TOKEN", "the-jobs-own")
    return lambda: access_token.access_token(google, google)


def test_an_id_token_becomes_a_token_of_the_account(ask):
    assert ask() == "of-the-account"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("GOOGLE_ID_TOKEN", "of-another-branch", "attribute condition"),
        ("GCP_SERVICE_ACCOUNT", "admin@p.iam.gserviceaccount.com", "admin@p.iam.gserviceaccount.com"),
    ],
)
def test_a_refusal_is_a_sentence_with_what_to_look_at(ask, monkeypatch, variable, value, told):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match="Google gave no access token") as error:
        ask()
    assert told in str(error.value) and "Does the provider trust" in str(error.value)


def test_a_variable_that_is_not_set_is_named(environment):
    kept = {name: value for name, value in environment.items() if not name.startswith(("GCP_", "GOOGLE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "mlops.platform.access_token"],
        cwd=ROOT, env=kept, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "Set GCP_WORKLOAD_IDENTITY_PROVIDER, GCP_SERVICE_ACCOUNT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def builder(tmp_path, environment) -> dict[str, str]:
    """An environment whose only builder of images writes down what it was told."""
    program = tmp_path / "buildah"
    program.write_text(
        '#!/bin/sh\n[ "$1" = info ] && exit\ncat >"$0.stdin"; echo "$@" >"$0.words"\n[ "$(cat "$0.stdin")" = good ]\n'
    )
    program.chmod(0o755)
    return environment | {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def login(environment: dict[str, str], token: str, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mlops.platform.images", *(words or ["login"]), "--builder", "buildah"]
    return subprocess.run(command, cwd=ROOT, env=environment, input=token, capture_output=True, text=True, check=False)


def test_a_login_is_at_the_registry_of_the_prefix_and_shows_no_token(builder, tmp_path):
    done = login(builder, "good\n")
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "buildah.words").read_text().split()
    assert words == ["login", "--username=oauth2accesstoken", "--password-stdin", "asia.gcr.io"]
    assert "good" not in done.stdout + done.stderr


def test_a_login_that_fails_is_told(builder):
    done = login(builder, "bad\n")
    assert done.returncode == 1 and "buildah ended with exit code 1" in done.stderr and "bad" not in done.stderr
    done = login(builder, "")
    assert done.returncode == 1 and "gcloud auth print-access-token | make login" in done.stderr


def test_a_json_key_logs_in_as_google_says(builder, tmp_path):
    login(builder, '{"type": "service_account"}')
    assert (tmp_path / "buildah.words").read_text().split()[1] == "--username=_json_key"


def test_an_image_is_built_for_the_clusters_nodes_whatever_this_machine_is(builder, tmp_path):
    assert login(builder, "good", "build", "data-prep").returncode == 0
    assert "--platform=linux/amd64" in (tmp_path / "buildah.words").read_text().split()
