"""pipeline, serve and predict over real HTTP; a second run does nothing again, a change runs what depends on it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import requests
from mlops import client, local_server, project
from mlops import schema as schemas
from mlops.errors import UserError

SAMPLES = list((project.ROOT / "tests/images").glob("*.png"))


@pytest.fixture(scope="module")
def finished(stage, serving_python, data_file, trained):
    """The output of one pipeline in the workplace, whose data and run are there already."""
    return stage("pipeline").stdout


def test_it_ends_with_answers_over_http_the_score_and_a_picture(finished, workplace, trained):
    assert f"answered by run {trained}" in finished
    assert "accuracy 0.9" in finished and "on the test examples" in finished
    answers = json.loads((workplace / "build/answers.json").read_text(encoding="utf-8"))["answers"]
    right = sum(answer["answer"] == answer["label"] == answer["name"].split("/")[-1][0] for answer in answers)
    assert len(answers) == 10
    assert right >= 8
    assert (workplace / "build/answers.png").stat().st_size > 1000


def test_no_command_waits_for_a_large_library_that_it_does_not_need(team, environment):
    large = {"matplotlib", "onnxruntime", "pandas", "polyaxon", "scipy", "sklearn", "torch"}
    code = f"import sys, {team.package.name}.__main__; print(*sorted({large} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "\n"


def test_a_stage_whose_inputs_are_there_is_not_run_again(finished):
    assert "data     up to date" in finished
    assert "train    up to date" in finished


def test_again_there_is_nothing_to_do_and_the_answer_is_the_same(finished, stage):
    again = stage("pipeline").stdout
    for name in ("data", "train", "package", "serve"):
        assert f"{name:8} up to date" in again
    assert again[again.index("predict") :] == finished[finished.index("predict") :]


def test_what_is_gone_is_made_again(finished, stage, workplace):
    (workplace / "build/bundle/model.onnx").unlink()
    again = stage("pipeline").stdout
    assert "package  build/bundle" in again
    assert "train    up to date" in again


@pytest.fixture(scope="module")
def served(finished, command, workplace, environment):
    """`serve` in the background; its process."""
    process = subprocess.Popen(
        [*command, "serve"],
        cwd=workplace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert "Serving build/bundle at http://127.0.0.1:" in process.stdout.readline()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_predict_finds_the_server_that_serve_started(served, stage, workplace, trained):
    (image,) = (workplace / "tests/images").glob("0-*.png")
    shown = stage("predict", str(image), "--index", "87").stdout
    assert f"answered by run {trained}" in shown
    answers = json.loads(stage("predict", "--json", str(image)).stdout)
    assert answers[0]["run"] == trained
    assert answers[0]["probability"] > 0.5


def test_predict_alone_asks_about_the_repositorys_samples(served, stage):
    lines = stage("predict").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:11]] == sorted(f"tests/images/{path.name}" for path in SAMPLES)
    assert sum(line.endswith("right") for line in lines) >= 8


def test_a_pipeline_beside_it_does_not_hide_it(served, stage, workplace, trained):
    (workplace / "build/answers.json").unlink()
    assert "was ended" in stage("pipeline").stdout
    assert f"answered by run {trained}" in stage("predict", "--index", "87").stdout


def test_a_port_that_is_taken_is_told_and_the_server_there_stays(served, in_workplace, stage):
    url = local_server.published()
    port = url.rpartition(":")[2]
    assert f"Port {port} is taken" in stage("serve", "--port", port, fails=True).stderr
    assert local_server.published() == url


def test_only_this_machine_can_ask_it(served, in_workplace):
    for address in (local_server.published(), local_server.published("metrics")):
        port = urlsplit(address).port
        with socket.socket() as asked, socket.socket() as other:
            assert asked.connect_ex(("127.0.0.1", port)) == 0
            # On Linux a server that listens at every address is at this one too.
            assert other.connect_ex(("127.0.0.2", port)) != 0


def test_serve_ends_its_server_and_its_address_when_it_is_ended(served, workplace, in_workplace):
    url = local_server.published()
    served.send_signal(signal.SIGTERM)
    assert served.wait(30) == 128 + signal.SIGTERM
    assert local_server.published() is None
    with pytest.raises(UserError, match="No server answers"):
        client.ask(url, client.test_examples([0]), schemas.read())


def test_a_terminal_that_closes_ends_the_server(finished, command, environment, in_workplace, start):
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = start([*command, "serve"], cwd=in_workplace, env=environment, **quiet)
    assert "Serving" in process.stdout.readline()
    url = local_server.published()
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 128 + signal.SIGHUP
    with pytest.raises(UserError, match="No server answers"):
        client.ask(url, client.test_examples([0]), schemas.read())


def test_serving_without_a_bundle_names_the_command_that_makes_it(stage, serving_python, tmp_path):
    assert "make package" in stage("serve", cwd=tmp_path, fails=True).stderr


def test_no_proxy_is_asked_for_a_server_on_this_machine():
    environment = {name: value for name, value in os.environ.items() if name != "no_proxy"}
    done = subprocess.run(
        ["make", "--no-print-directory", "--file=Makefile", "--file=-", "shown"],
        input='shown: ; @echo "$$no_proxy"\n',
        cwd=project.ROOT,
        env=environment | {"NO_PROXY": "intranet.example"},
        capture_output=True,
        text=True,
        check=True,
    )
    direct = requests.utils.should_bypass_proxies
    assert direct("http://127.0.0.1:9000/", done.stdout.strip())
    assert direct("http://intranet.example/", done.stdout.strip())
    assert not direct("http://example.com/", done.stdout.strip())


def test_serving_without_its_environment_names_the_command_that_makes_it(bundle, in_workplace, monkeypatch):
    monkeypatch.setenv("SERVING_VENV", "nowhere")
    with pytest.raises(UserError, match="make setup"), local_server.server():
        pass


def test_a_server_that_cannot_start_ends_in_a_message(bundle, in_workplace, serving_python, tmp_path):
    broken = shutil.copytree(bundle, tmp_path / "bundle")
    (broken / "model.onnx").write_bytes(b"")
    with pytest.raises(UserError, match="before it was ready"), local_server.server(broken, log=subprocess.DEVNULL):
        pass
