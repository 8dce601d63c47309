"""A grammar is tried in a process of its own, which can be ended, where compiling it may never end.

Of patterns that all have to hold at once llguidance looks for a text that fits, over the product of their automata, and its
own limits don't count that: twenty short ones take minutes and gigabytes. Nothing can stop a thread that is at it.
"""

from __future__ import annotations

import os
import subprocess
import sys

TRIAL_CPU_SECONDS = 2
"""an ordinary schema takes milliseconds, one of 100,000 characters half a second"""
TRIAL_BYTES_MAX = 1 << 30
TRIAL_SECONDS_MAX = 60.0
"""by the clock, on a machine that has no time"""


def needs_trial(source: str) -> bool:
    """Whether several patterns may meet in a grammar, also under a name that JSON spells with escapes."""
    return source.count("pattern") > 1 or "patternProperties" in source or "\\u" in source


def passes_trial(grammar: str) -> bool:
    """Whether a grammar, as llguidance writes them, is understood or refused within the limits. Starts a process."""
    command = [sys.executable, "-P", __file__]
    try:
        tried = subprocess.run(
            command,
            input=grammar.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TRIAL_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0


def _try() -> None:
    """In the process: ends it where a limit is passed."""
    import resource

    from llguidance import LLMatcher

    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_CPU_SECONDS, TRIAL_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (TRIAL_BYTES_MAX, TRIAL_BYTES_MAX))
    LLMatcher.validate_grammar(sys.stdin.buffer.read().decode())


if __name__ == "__main__":
    _try()
