"""Where adapters are read in tests: at once, or when the test says so."""

from __future__ import annotations

from concurrent.futures import Executor, Future


class AtOnce(Executor):
    """Runs what it is given before `submit` returns."""

    def submit(self, work, /, *args, **kwargs):
        future = Future()
        run(future, work, args, kwargs)
        return future


class WhenTold(Executor):
    """Keeps what it is given until `run_next`."""

    def __init__(self):
        self._waiting = []

    def submit(self, work, /, *args, **kwargs):
        future = Future()
        self._waiting.append((future, work, args, kwargs))
        return future

    def run_next(self):
        """Run the oldest, if there is one; returns whether there was."""
        if not self._waiting:
            return False
        run(*self._waiting.pop(0))
        return True


def run(future, work, args, kwargs):
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the future
        future.set_exception(error)


def nobody():
    """To be told of a loaded adapter where the test asks by itself."""
