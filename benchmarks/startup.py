"""How long `chiliad --help` takes, beside an empty Python: `python benchmarks/startup.py --json`.

Wall time and processor time of whole processes, in turns, so that a noisy machine hurts both; medians count. On a machine
that is busy with other things the processor time is the one to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

from chiliad.workspace.machine import machine

COMMANDS = {"help": ("-m", "chiliad", "--help"), "python": ("-c", "pass")}
SECONDS_MAX = 0.3


@dataclass(frozen=True)
class Run:
    wall_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    result = _summary(_measure(options.repeats))
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<18} {v}" for k, v in result.items()))


def _measure(repeats: int) -> dict[str, list[Run]]:
    for command in COMMANDS.values():
        _run(command)  # bytecode is compiled and files are cached before anything counts
    runs: dict[str, list[Run]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            runs[name].append(_run(command))
    return runs


def _run(arguments: Sequence[str]) -> Run:
    before, started = _cpu_s(), perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return Run(perf_counter() - started, _cpu_s() - before)


def _cpu_s() -> float:
    """Processor time of all processes started so far that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _summary(runs: dict[str, list[Run]]) -> dict[str, object]:
    wall_s = {name: statistics.median(run.wall_s for run in group) for name, group in runs.items()}
    cpu_s = {name: statistics.median(run.cpu_s for run in group) for name, group in runs.items()}
    return {
        "help_s": round(wall_s["help"], 3),
        "help_s_max": SECONDS_MAX,
        "help_cpu_s": round(cpu_s["help"], 3),
        "python_s": round(wall_s["python"], 3),
        "python_cpu_s": round(cpu_s["python"], 3),
        "repeats": len(runs["help"]),
        "load_1min": round(os.getloadavg()[0], 1),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    main()
