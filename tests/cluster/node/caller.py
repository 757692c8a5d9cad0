"""Four busy callers in a pod, each request over a new connection, until /tmp/stop exists. Prints what they got."""

import collections
import http.client
import json
import pathlib
import sys
import threading
import urllib.parse

ADDRESS = urllib.parse.urlsplit(sys.argv[1])
REQUEST = json.dumps({"data": {"ndarray": [[0] * 784]}})
HEADERS = {"Content-Type": "application/json", "Connection": "close"}
answered, lost = collections.Counter[str](), collections.Counter[str]()


def ask() -> str:
    """Return the run that answered, and the way that Seldon's router chose, if there is one."""
    connection = http.client.HTTPConnection(ADDRESS.hostname or "", ADDRESS.port, timeout=15)
    connection.request("POST", ADDRESS.path, REQUEST, HEADERS)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise OSError(f"{answer.status}: {content[:80]!r}")
    meta = json.loads(content)["meta"]
    chosen = [f"{node}={way}" for node, way in meta.get("routing", {}).items() if way >= 0]  # -1: not a router
    return " ".join([meta["tags"]["run"], *chosen])


def call() -> None:
    while not pathlib.Path("/tmp/stop").exists():
        try:
            answered[ask()] += 1
        except (OSError, http.client.HTTPException) as error:
            lost[f"{type(error).__name__}: {error}"] += 1


callers = [threading.Thread(target=call) for _ in range(4)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(json.dumps({"answered": answered, "lost": lost}))
