"""The exceptions that speak to the user."""

import signal


class UserError(Exception):
    """Something the user can fix: shown as a message with exit code 1, never as a traceback."""


class Stopped(Exception):
    """A signal asked training to stop; `run` is the uuid of the run that it recorded."""

    def __init__(self, number: int, run: str, resumable: bool) -> None:
        remedy = (
            f"Go on with: make train RESUME={run}"
            if resumable
            else "It had not finished an epoch: there is nothing to resume."
        )
        super().__init__(f"Stopped by {signal.Signals(number).name}; run {run} is recorded as stopped. {remedy}")
        self.number = number


class Refused(ValueError):
    """An input that does not fit the schema, or another request that is not answered.

    Args:
        reason: says what was wrong, and the rule.
        code: the HTTP status.
        headers: names and values, for the answer.
    """

    def __init__(self, reason: str, code: int = 400, *headers: tuple[str, str]) -> None:
        super().__init__(reason)
        self.code, self.headers = code, headers
