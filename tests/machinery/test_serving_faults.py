"""What the server does when things go wrong around it: it is stopped, killed, given a broken bundle or no disk."""

import hashlib
import http.client
import json
import math
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import requests
from serving_server import EXAMPLES, JSON, PREDICT, answers_right, recorded, serve

BODY = json.dumps({"data": {"ndarray": [[0] * 784]}}).encode()
END = 20  # seconds that a pod's server has to end: of its 30, Seldon waits 10 before it sends SIGTERM
ANSWERS = 1000  # after which a server is under load


class Load:
    """Callers who ask all the time, on connections that they keep or on a new one for each request.

    `statuses` holds those of all answers; `lost` the requests whose connection the server had accepted and that got no
    answer; `refused` counts those whose connection it did not accept, as it should when it has stopped.
    """

    def __init__(self, port: int, keep: bool, callers: int = 8):
        self.port, self.keep = port, keep
        self.statuses, self.lost, self.refused = [], [], 0
        self._over = threading.Event()
        self._callers = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]

    def _call(self):
        connection = None
        while not self._over.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                try:
                    connection.connect()
                except OSError:
                    self.refused += 1
                    connection = None
                    time.sleep(0.02)
                    continue
            try:
                connection.request("POST", PREDICT, BODY, JSON)
                answer = connection.getresponse()
                answer.read()
                self.statuses.append(answer.status)
                goes_on = self.keep and not answer.will_close
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                goes_on = False
            if not goes_on:
                connection.close()
                connection = None

    def __enter__(self):
        for caller in self._callers:
            caller.start()
        return self

    def wait_until(self, true, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{len(self.statuses)} answers, lost {self.lost}, refused {self.refused}"
            time.sleep(0.02)

    def __exit__(self, *_):
        self._over.set()
        for caller in self._callers:
            caller.join(timeout=30)


def stop_under_load(bundle, python, keep, seconds=0.0):
    with serve(bundle, python) as server, Load(server.port, keep) as load:
        time.sleep(seconds)
        load.wait_until(lambda: len(load.statuses) >= ANSWERS)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(timeout=END)
        print(f"{len(load.statuses)} answers, lost {load.lost}, ended in {time.monotonic() - begun:.2f} s")
        assert code == 0, server.output()
        load.wait_until(lambda: load.refused)
    assert set(load.statuses) == {200}
    # Callers go on connecting to a server that stops: the kernel may accept one between its last look and the end.
    assert len(load.lost) <= 1, load.lost


@pytest.mark.parametrize("keep", [True, False], ids=["kept connections", "new connections"])
def test_sigterm_under_load_loses_no_request(bundle, serving_python, keep):
    stop_under_load(bundle, serving_python, keep)


@pytest.mark.slow
def test_sigterm_in_the_middle_of_a_minute_of_load_loses_no_request(bundle, serving_python):
    stop_under_load(bundle, serving_python, keep=True, seconds=30)
    stop_under_load(bundle, serving_python, keep=False, seconds=30)


@pytest.mark.parametrize("keep", [True, False], ids=["kept connections", "new connections"])
def test_a_rolling_restart_loses_no_request(bundle, serving_python, keep):
    """As on a cluster: a second server is ready, callers turn to it, and then the first is told to stop."""
    with serve(bundle, serving_python) as first, Load(first.port, keep) as load:
        load.wait_until(lambda: len(load.statuses) >= ANSWERS / 2)
        with serve(bundle, serving_python) as second:
            load.port = second.port  # of connections that are made from now on
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(timeout=END) == 0
            before = len(load.statuses)
            load.wait_until(lambda: len(load.statuses) >= before + ANSWERS / 2)
            assert (set(load.statuses), load.lost, load.refused) == ({200}, [], 0)


def test_kept_connections_are_told_of_the_end_and_do_not_hold_it_up(bundle, serving_python):
    with serve(bundle, serving_python) as server:
        kept, idle = (http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(2))
        for connection in (kept, idle):
            connection.request("POST", PREDICT, BODY, JSON)
            assert connection.getresponse().read()
        server.process.send_signal(signal.SIGTERM)
        closes = False
        while not closes:  # it may not have heard the signal yet
            kept.request("POST", PREDICT, BODY, JSON)  # on the connection that was promised to stay
            answer = kept.getresponse()
            assert answer.status == 200 and answer.read()
            closes = answer.will_close
        assert server.process.wait(timeout=END) == 0
        idle.close()  # only now: it said nothing more


def test_it_is_one_process(bundle, serving_python):
    with serve(bundle, serving_python) as server:
        assert answers_right(server)
        pid = server.process.pid
        assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""


def test_a_clock_that_jumps_changes_nothing(bundle, serving_python):
    """libfaketime moves the wall clock of the server by a day, there and back."""
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    jump = {"LD_PRELOAD": str(library), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    with tempfile.NamedTemporaryFile("w") as clock:
        clock.write("+0")
        clock.flush()
        with serve(bundle, serving_python, **jump, FAKETIME_TIMESTAMP_FILE=clock.name) as server:
            with Load(server.port, keep=True) as load:
                for offset in ("+1d", "-1d", "+0"):
                    reached = len(load.statuses) + 200
                    clock.seek(0)
                    clock.truncate()
                    clock.write(offset)
                    clock.flush()
                    load.wait_until(lambda reached=reached: len(load.statuses) >= reached)
            assert (set(load.statuses), load.lost) == ({200}, [])
            assert answers_right(server)


# --- Bundles that are not whole --------------------------------------------------------------------------------------


def change_metadata(bundle, **changed):
    path = bundle / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def put_model(bundle, model: bytes):
    (bundle / "model.onnx").write_bytes(model)
    change_metadata(bundle, model_digest=hashlib.sha256(model).hexdigest())


def other_model(bundle, shape=(32, 32, 3)):
    """A good ONNX model of other inputs and outputs, which flattens."""
    helper = pytest.importorskip("onnx.helper")
    number = pytest.importorskip("onnx").TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["inputs"], ["outputs"])],
        "other",
        [helper.make_tensor_value_info("inputs", number, ["batch", *shape])],
        [helper.make_tensor_value_info("outputs", number, ["batch", math.prod(shape)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    put_model(bundle, model.SerializeToString())


def other_width(bundle):
    other_model(bundle, (28, 28, 1))


def other_answers(bundle):
    answers = recorded(bundle)
    answers[0]["outputs"], answers[1]["outputs"] = answers[1]["outputs"], answers[0]["outputs"]
    (bundle / "recorded-answers.json").write_text(json.dumps(answers))


def truncated(bundle):
    model = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(model[: len(model) // 2])


BROKEN = {  # what is done to the bundle, and what the message must name
    "no model": (lambda bundle: (bundle / "model.onnx").unlink(), "model.onnx: No such file"),
    "a truncated model": (truncated, "model.onnx is not the file that metadata.json tells of"),
    "an empty model": (lambda bundle: put_model(bundle, b""), "model.onnx cannot be run"),
    "a model that is none": (lambda bundle: put_model(bundle, b"\x00" * 1000), "model.onnx cannot be run"),
    "a model of another shape": (other_model, "model.onnx cannot be run"),
    "a model of another width": (other_width, "model.onnx gives (784,) numbers, not 10"),
    "no metadata": (lambda bundle: (bundle / "metadata.json").unlink(), "metadata.json: No such file"),
    "metadata that is no JSON": (lambda bundle: (bundle / "metadata.json").write_text("{"), "is damaged"),
    "metadata without a run": (
        lambda bundle: (bundle / "metadata.json").write_text("{}"),
        "is damaged",
    ),
    "no recorded answers": (
        lambda bundle: (bundle / "recorded-answers.json").unlink(),
        "recorded-answers.json: No such",
    ),
    "a model that answers otherwise": (other_answers, "does not give the answers in recorded-answers.json"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_bundle_stops_the_start_with_a_message(bundle, serving_python, tmp_path, name):
    change, words = BROKEN[name]
    broken = tmp_path / "bundle"
    shutil.copytree(bundle, broken)
    change(broken)
    with serve(broken, serving_python, wait=False) as server:
        code = server.process.wait(timeout=120)
        said = server.output()
    assert code not in (0, None)
    assert words in said, said[-3000:]
    assert "make package" in said
    assert "Traceback" not in said
    assert said.count("The model cannot be served") == 1


# --- No disk ---------------------------------------------------------------------------------------------------------


def test_a_disk_that_takes_no_byte_does_not_stop_serving(bundle, serving_python):
    """As on a full disk, every write to a file fails: the size limit of files is 0. Output is no file in a pod."""
    full = ["sh", "-c", 'exec prlimit --fsize=0 "$@" >/dev/null 2>&1', "sh"]
    with serve(bundle, serving_python, before=full, writes=False) as server:
        for _ in range(20):
            assert answers_right(server)
        form = {"binData": ("pictures", bytes(784 * 1000))}  # a long file of a form goes to the disk elsewhere
        answer = requests.post(server.url(), files=form, timeout=30)
        assert answer.status_code == 200, answer.text
        assert server.metrics()[EXAMPLES] == 1020


def test_a_read_only_root_filesystem_does_not_stop_serving(bundle, serving_python):
    apart = ["unshare", "--map-root-user", "--mount"]
    read_only = 'mount -o remount,bind,ro / && ! touch /tmp/written 2>/dev/null && exec "$@"'
    tried = subprocess.run([*apart, "sh", "-c", read_only, "sh", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine lets no one mount: {tried.stderr.strip() or tried.returncode}")
    with serve(bundle, serving_python, before=[*apart, "sh", "-c", read_only, "sh"], writes=False) as server:
        assert answers_right(server)
        assert server.metrics()[EXAMPLES] == 1
