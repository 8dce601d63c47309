"""How long `chiliad --help` takes, beside an empty Python: `python benchmarks/startup.py --json`.

Wall time of whole processes, in turns, so that a noisy machine hurts both; the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter

from chiliad.workspace.machine import machine

COMMANDS = {"help": ("-m", "chiliad", "--help"), "python": ("-c", "pass")}
SECONDS_MAX = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    result = _summary(_measure(options.repeats))
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<18} {v}" for k, v in result.items()))


def _measure(repeats: int) -> dict[str, list[float]]:
    for command in COMMANDS.values():
        _seconds(command)  # bytecode is compiled and files are cached before anything counts
    runs: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            runs[name].append(_seconds(command))
    return runs


def _seconds(arguments: Sequence[str]) -> float:
    started = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - started


def _summary(runs: dict[str, list[float]]) -> dict[str, object]:
    medians = {name: round(statistics.median(times), 3) for name, times in runs.items()}
    return {
        "help_s": medians["help"],
        "help_s_min": round(min(runs["help"]), 3),
        "python_s": medians["python"],
        "help_s_over_python": round(medians["help"] - medians["python"], 3),
        "help_s_limit": SECONDS_MAX,
        "repeats": len(runs["help"]),
        "load_1min": round(os.getloadavg()[0], 1),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    main()
