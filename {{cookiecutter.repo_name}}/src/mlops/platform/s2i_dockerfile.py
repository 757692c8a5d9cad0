"""The Dockerfile that s2i writes, for machines without s2i; the workflow on the cluster calls s2i itself.

The same lines in the same order as CreateDockerfile in s2i's pkg/build/strategies/dockerfile/dockerfile.go, for
`s2i build SOURCE BUILDER IMAGE --as-dockerfile FILE --image-scripts-url image:///s2i/bin` and a source folder without
scripts, secrets or an earlier build.
"""

import json
import shutil
from pathlib import Path

from ..serving.bundle_files import environment_of

SCRIPTS = "/s2i/bin"
USER = 1001  # s2i's own default where it writes a Dockerfile


def write(source: Path, builder: str, image: str, folder: Path) -> Path:
    """Write FOLDER/Dockerfile and the copy of the source that it takes in, FOLDER/upload/src."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder / "upload/src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "upload/scripts").mkdir()
    path = folder / "Dockerfile"
    path.write_text(text(source, builder, image), encoding="utf-8")
    return path


def text(source: Path, builder: str, image: str) -> str:
    labels = {
        "io.k8s.display-name": image,
        "io.openshift.s2i.build.image": builder,
        "io.openshift.s2i.build.source-location": str(source),
    }
    return "\n".join(
        [
            f"FROM {builder}",
            "LABEL " + _pairs(labels, quote_names=True),
            "ENV " + _pairs(environment_of(source)),
            "USER root",
            "# Copying in source code",
            "COPY upload/src /tmp/src",
            "# Change file ownership to the assemble user. Builder image must support chown command.",
            f"RUN chown -R {USER}:0 /tmp/src",
            f"USER {USER}",
            "# Assemble script sourced from builder image based on user input or image metadata.",
            "# If this file does not exist in the image, the build will fail.",
            f"RUN {SCRIPTS}/assemble",
            "# Run script sourced from builder image based on user input or image metadata.",
            "# If this file does not exist in the image, the build will fail.",
            f"CMD {SCRIPTS}/run",
            "",
        ]
    )


def _pairs(values: dict[str, str], quote_names: bool = False) -> str:
    words = [f"{json.dumps(name) if quote_names else name}={json.dumps(value)}" for name, value in values.items()]
    return " \\\n      ".join(words)
