"""A real API server with the real CRDs and Argo's real controller, on loopback, without root and without a node.

`python tests/cluster/server.py CACHE` starts one from what build.sh left in CACHE, prints its KUBECONFIG, and ends it
on Ctrl-C. There is no kubelet: pods are made and stay Pending.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

READY = 120  # seconds that each of the programs may take to answer
CONFIG = "workflow-controller-configmap"


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as taken:
        sockets = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def kubectl(kubeconfig: Path, *words: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess:
    """Run kubectl on a cluster; a failure shows what kubectl said."""
    for _ in range(5):
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={kubeconfig}", *words], input=text, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        if "Unable to connect to the server" not in done.stderr:  # a busy one did not get it
            break
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr or done.stdout}")
    return done


class Programs:
    """The programs that were started, their logs, and their end in reverse order."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self.stack, self.names = folder, stack, dict[int, str]()

    def start(self, name: str, *flags: str, **environment: str) -> subprocess.Popen:
        program = subprocess.Popen(
            [name, *flags], cwd=self.folder, env=os.environ | environment, stdin=subprocess.DEVNULL,
            stdout=(self.folder / f"{name}.log").open("w"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.stack.callback(end, program)
        self.names[program.pid] = name
        return program

    def wait(self, program: subprocess.Popen, answers) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; with the end of its log.
        """
        until = time.monotonic() + READY
        while time.monotonic() < until and program.poll() is None:
            if answers():
                return
            time.sleep(0.2)
        name = self.names[program.pid]
        log = (self.folder / f"{name}.log").read_text(errors="replace")
        raise RuntimeError(f"{name} does not answer:\n{log[-2000:]}")


def end(program: subprocess.Popen) -> None:
    """End a program that we started, by its process id."""
    program.terminate()
    try:
        program.wait(10)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def write_kubeconfig(folder: Path, port: int, token: str) -> Path:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "certs/apiserver.crt")}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
    }  # fmt: skip
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path


def start_api(programs: Programs, folder: Path) -> Path:
    """Start etcd and the API server; return the administrator's KUBECONFIG."""
    client, peer, port = free_ports(3)
    etcd = f"http://127.0.0.1:{client}"
    programs.start(
        "etcd", "--data-dir=etcd", "--unsafe-no-fsync",
        f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}", "--max-request-bytes=8000000",  # Seldon's CRD
    )  # fmt: skip
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "accounts.key", "2048"], check=True, capture_output=True)
    api = programs.start(
        "kube-apiserver", f"--etcd-servers={etcd}", f"--secure-port={port}", "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--cert-dir=certs",
        "--token-auth-file=tokens.csv", "--authorization-mode=RBAC", "--allow-privileged=true",
        "--service-account-issuer=https://127.0.0.1", "--service-account-signing-key-file=accounts.key",
        "--service-account-key-file=accounts.key", "--service-cluster-ip-range=10.0.0.0/24",
        "--feature-gates=WatchList=false,SizeBasedListCostEstimate=false",  # which Debian's etcd 3.4 cannot do
    )  # fmt: skip
    kubeconfig = write_kubeconfig(folder, port, token)
    programs.wait(api, lambda: kubectl(kubeconfig, "get", "--raw=/readyz", check=False).returncode == 0)
    return kubeconfig


def start_argo(programs: Programs, kubeconfig: Path) -> None:
    """Start Argo's controller, as the administrator."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG, "namespace": "argo"},
              "data": {"metricsConfig": "enabled: false\n", "executor": "resources: {}\n"}}  # fmt: skip
    kubectl(kubeconfig, "create", "namespace", "argo")
    kubectl(kubeconfig, "create", "--filename=-", text=json.dumps(config))
    argo = programs.start(
        "workflow-controller", f"--kubeconfig={kubeconfig}", "--namespace=argo", "--executor-image=argoexec:tests",
        LEADER_ELECTION_DISABLE="true",
    )  # fmt: skip
    log = programs.folder / "workflow-controller.log"
    programs.wait(argo, lambda: "Starting Workflow Controller" in log.read_text(errors="replace"))


def wait_for_crds(kubeconfig: Path) -> None:
    words = ("wait", "--for=condition=established", "--timeout=30s", "crd", "--all")
    until = time.monotonic() + READY
    while (done := kubectl(kubeconfig, *words, check=False)).returncode:  # also for one that has no status yet
        if time.monotonic() > until:
            raise RuntimeError(f"the CRDs are not established: {done.stderr}")
        time.sleep(0.5)


@contextlib.contextmanager
def running(cache: Path) -> Iterator[Path]:
    """While this lasts, a cluster runs; yield the KUBECONFIG of its administrator.

    Args:
        cache: what build.sh was given: `bin/`, and `crds/`.
    """
    os.environ["PATH"] = f"{cache / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cluster-", ignore_cleanup_errors=True)))
        programs = Programs(folder, stack)
        kubeconfig = start_api(programs, folder)
        for crd in sorted((cache / "crds").glob("*.yaml")):
            kubectl(kubeconfig, "create", f"--filename={crd}")  # not apply, which would keep each a second time
        wait_for_crds(kubeconfig)
        start_argo(programs, kubeconfig)
        yield kubeconfig


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), running(Path(sys.argv[1]).absolute()) as kubeconfig:
        print(f"export KUBECONFIG={kubeconfig} # ready after {time.monotonic() - began:.0f} s", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
