"""A Seldon router that learns which of several models earns the most: epsilon-greedy, from the feedback it is sent.

    MODEL_NAME=mlops.serving.bandit.EpsilonGreedy SERVICE_TYPE=ROUTER

It lies in every bundle, so it runs from any image of a model. What it has learnt is in memory: run one worker of it.
It imports the standard library only.
"""

import logging
import math
import random
import threading

logger = logging.getLogger(__name__)


class EpsilonGreedy:
    """Most requests go to the branch with the best mean reward, a share `epsilon` of them anywhere at random.

    A branch that was never rewarded counts as the best there is, so each is tried first; equals are drawn from.

    Args:
        n_branches: how many children the router has in the graph.
        epsilon: 0 never explores, 1 routes at random.
        seed: makes the draws repeatable; for tests.
    """

    def __init__(self, n_branches: int = 2, epsilon: float = 0.1, seed: int | None = None) -> None:
        # SystemExit: with any other exception the wrapper would serve half a router.
        if not n_branches >= 1:
            raise SystemExit(f"n_branches is {n_branches}; a router needs at least one child.")
        if not 0 <= epsilon <= 1:
            raise SystemExit(f"epsilon is {epsilon}; it is a share, from 0 to 1.")
        self.epsilon = epsilon
        self._random = random.Random(seed)
        self._lock = threading.Lock()  # the server answers several requests at a time
        self._counts, self._sums = [0] * n_branches, [0.0] * n_branches

    def route(self, features, feature_names) -> int:
        """The branch that gets this request."""
        with self._lock:
            if self._random.random() < self.epsilon:
                return self._random.randrange(len(self._counts))
            values = [self._mean(branch, unknown=math.inf) for branch in range(len(self._counts))]
            best = max(values)
            return self._random.choice([branch for branch, value in enumerate(values) if value == best])

    def send_feedback(self, features, feature_names, reward, truth, routing=None) -> None:
        """Learn that an answer earned `reward`; `routing` is the branch that gave it, from the answer's meta."""
        if routing is None or not 0 <= routing < len(self._counts):
            # Also -1, which Seldon's engine writes for an answer that came from all branches
            logger.warning("Feedback for branch %s is left out: there are %d", routing, len(self._counts))
            return
        if not math.isfinite(reward):
            logger.warning("Feedback of reward %s is left out: it is no finite number", reward)
            return
        with self._lock:
            self._counts[routing] += 1
            self._sums[routing] += reward

    def health_status(self) -> dict:
        """For /health/status: a router that answers is healthy."""
        return {"status": "ready", **self.tags()}

    def tags(self) -> dict:
        """Goes into every answer's meta: what was learnt so far."""
        with self._lock:
            return {
                "branches": [
                    {"feedback": count, "mean_reward": self._mean(branch, unknown=None)}
                    for branch, count in enumerate(self._counts)
                ]
            }

    def metrics(self) -> list[dict]:
        """For Prometheus: feedback and mean reward of each branch."""
        with self._lock:
            return [
                {"type": "GAUGE", "key": key, "value": value, "tags": {"branch": str(branch)}}
                for branch, count in enumerate(self._counts)
                for key, value in (("bandit_feedback", count), ("bandit_mean_reward", self._mean(branch, unknown=0.0)))
            ]

    def _mean(self, branch: int, unknown):
        count = self._counts[branch]
        return self._sums[branch] / count if count else unknown
