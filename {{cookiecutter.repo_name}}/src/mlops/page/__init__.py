"""The page to try a model by hand: a person draws, uploads a picture or fills in a form, and the model answers."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import local_server, processes
from ..errors import UserError
from ..serving.bundle_files import BUNDLE

SCRIPT = Path(__file__).with_name("script.py")
LOG = Path("build/try.log")
START_SECONDS = 120
SETTINGS = {
    "server.address": processes.HOST,
    "server.showEmailPrompt": "false",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "32",  # MB
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


@contextmanager
def server(bundle: Path = BUNDLE, port: int = 0) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve the page, and the bundle behind it, while the block runs: give its URL and process, once it is ready.

    Streamlit opens the browser itself, where there is a screen.

    Raises:
        UserError: Streamlit is not installed, the port is taken, there is no bundle, or a server did not come up.
    """
    if not importlib.util.find_spec("streamlit"):
        raise UserError("The page needs the extra `try` of pyproject.toml. It is installed by: make try")
    local_server.check_free(port)
    port = port or processes.free_port()
    settings = [f"--{name}={value}" for name, value in {**SETTINGS, "server.port": port}.items()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("wb") as log, local_server.server(bundle, log=log.fileno(), publish=False) as (url, _):
        command = [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *settings, "--", url, str(bundle)]
        with processes.session(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            processes.wait_until_ready(
                process, lambda: processes.listens(port), START_SECONDS, f"The page, whose log is {LOG},"
            )
            yield f"http://{processes.HOST}:{port}", process
