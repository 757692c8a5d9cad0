"""Wait for a rollout, by pure functions of what the cluster answers.

Seldon's own state is not enough: it has no observedGeneration, so it may be about the manifest before.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..errors import UserError

SETTLED = 30  # seconds that Seldon must go on saying Failed: it also does so for errors that it then gets over
PAUSE = 3  # seconds between looks
STUCK = {("PodScheduled", "False"), ("ReplicaFailure", "True")}  # conditions of pods and Deployments


class Look(NamedTuple):
    """Seldon's word on a deployment, and whether all pods run what was applied."""

    state: str | None
    description: str | None
    rolled_out: bool
    replaced: bool = False  # somebody else has deployed since

    @property
    def serves(self) -> bool:
        return self.rolled_out and self.state == "Available"

    def __str__(self) -> str:
        said = f"Seldon says {self.state or 'nothing'}{f' ({self.description})' if self.description else ''}"
        return said if self.rolled_out else f"not all pods run what was applied, and {said}"


def rolled_out(manifest: dict, deployments: list[dict]) -> bool:
    """Return whether Seldon's Deployments run the images of a manifest and no others, and all pods are available."""
    wanted = images(manifest)
    there = _images(one["spec"]["template"]["spec"] for one in deployments)
    there = [(name, image) for name, image in there if name in dict(wanted)]  # Seldon adds a container of its own
    return there == wanted and all(map(_complete, deployments))


def images(manifest: dict) -> list[tuple[str, str]]:
    """Return the containers of a manifest, each with its image."""
    components = (component for one in manifest["spec"]["predictors"] for component in one["componentSpecs"])
    return _images(component["spec"] for component in components)


def _images(pods: Iterable[dict]) -> list[tuple[str, str]]:
    return sorted((container["name"], container["image"]) for pod in pods for container in pod["containers"])


def _complete(deployment: dict) -> bool:
    """Return whether `kubectl rollout status` would end."""
    status, count = deployment.get("status") or {}, deployment["spec"]["replicas"]
    observed = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return observed and all(status.get(key) == count for key in ("replicas", "updatedReplicas", "availableReplicas"))


def troubles(made: list[dict]) -> str:
    """Return why Deployments and pods do not run, each reason once: no room, no such image, a quota."""
    found = []
    for status in (one.get("status", {}) for one in made):
        conditions = status.get("conditions", [])
        found += [one["message"] for one in conditions if (one["type"], one["status"]) in STUCK]
        waiting = [one.get("state", {}).get("waiting", {}) for one in status.get("containerStatuses", [])]
        found += [f"{one['reason']}: {one['message']}" for one in waiting if "message" in one]
    return "".join(f"{reason.rstrip('.')}. " for reason in dict.fromkeys(found))


def wait(look: Callable[[], Look], timeout: float) -> Look:
    """Wait until it serves or is replaced, Seldon goes on saying Failed, or the time is over; return the last look.

    Raises:
        UserError: the cluster cannot be asked when the time is over.
    """
    end, failed = time.monotonic() + timeout, None
    while True:
        now = time.monotonic()
        over = now >= end
        try:
            seen = look()
        except UserError:  # an API server that restarts
            if over:
                raise
        else:
            failed = (failed or now) if seen.state == "Failed" and not seen.rolled_out else None
            if seen.serves or seen.replaced or over or (failed and now - failed >= SETTLED):
                return seen
        time.sleep(PAUSE)
