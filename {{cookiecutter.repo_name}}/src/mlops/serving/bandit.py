"""A Seldon router that learns which of several models earns the most: epsilon-greedy, from the feedback it is sent.

    MODEL_NAME=mlops.serving.bandit.EpsilonGreedy SERVICE_TYPE=ROUTER

It is in every bundle, so it runs from any image of a model. It keeps what it learns in memory: run one pod of it.
"""

import logging
import math
import random
import threading

logger = logging.getLogger(__name__)


class EpsilonGreedy:
    """Most requests go to the branch with the best mean reward, a share `epsilon` of them anywhere at random.

    A branch without a reward counts as the best, so each is tried first.
    """

    def __init__(self, n_branches: int = 2, epsilon: float = 0.1, seed: int | None = None) -> None:
        if n_branches < 1:
            raise ValueError(f"n_branches is {n_branches}; a router needs at least one child.")
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon is {epsilon}; it is a share, from 0 to 1.")
        self.epsilon, self._random, self._lock = epsilon, random.Random(seed), threading.Lock()
        self._counts: list[int] = [0] * n_branches
        self._means: list[float | None] = [None] * n_branches

    def route(self, features, feature_names) -> int:
        """Return the branch that gets this request."""
        with self._lock:
            explores = self._random.random() < self.epsilon
            means = [math.inf if mean is None or explores else mean for mean in self._means]
            return self._random.choice([branch for branch, mean in enumerate(means) if mean == max(means)])

    def send_feedback(self, features, feature_names, reward, truth, routing=None) -> None:
        """Learn that an answer of the branch `routing` earned `reward`."""
        with self._lock:
            if type(routing) is not int or not 0 <= routing < len(self._counts):  # -1: an answer of all branches
                logger.warning("Feedback for branch %s is left out: there are %d", routing, len(self._counts))
            elif math.isfinite(reward):
                self._counts[routing] += 1
                mean = self._means[routing] or 0.0
                self._means[routing] = mean + (reward - mean) / self._counts[routing]

    def health_status(self) -> dict:
        return {"status": "ready", **self.tags()}

    def init_metadata(self) -> dict:
        return {"name": "bandit", "platform": "python", "inputs": [], "outputs": []}

    def tags(self) -> dict:
        """Return what was learned so far, for every answer's meta."""
        with self._lock:
            learned = zip(self._counts, self._means, strict=True)
            return {"branches": [{"feedback": count, "mean_reward": mean} for count, mean in learned]}

    def metrics(self) -> list[dict]:
        """Return the feedback and the mean reward of each branch, for Prometheus."""
        return [
            {"type": "GAUGE", "key": f"bandit_{key}", "value": value or 0, "tags": {"branch": str(branch)}}
            for branch, learned in enumerate(self.tags()["branches"])
            for key, value in learned.items()
        ]
