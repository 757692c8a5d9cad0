"""Jupyter's server starts TensorBoard on loopback and passes <its own address>/tensorboard/ on to it.

So TensorBoard, which has no login of its own, is behind Jupyter's token.
"""

import os

c = get_config()  # type: ignore[name-defined]  # noqa: F821  Jupyter defines it where it runs this file
c.ServerProxy.servers = {
    "tensorboard": {
        "command": [
            "tensorboard",
            "--host=127.0.0.1",
            "--port={port}",
            "--logdir=" + os.environ.get("TENSORBOARD_LOGDIR", "outputs"),
            "--path_prefix={base_url}tensorboard",
        ],
        "absolute_url": True,  # TensorBoard is told the path it is served under, and wants it in each request
        "timeout": 60,
    }
}
