"""Whether answers stay smooth while an expert is trained beside them, as `chiliad serve` does both by itself.

Two loads: `full`, clients that ask again at once, and `half`, clients that wait for as long as their last answer took.
What is compared are the seconds from one token of a stream to its next, without and with a training.
"""

from __future__ import annotations

import asyncio
import csv
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from api_process import CHAT, Served, question
from http_load import Client

from chiliad.base import DEFAULT_BASE

ROWS = Path(__file__).parents[1] / "examples" / "support_desk" / "triage.csv"
CLIENTS, ANSWER_TOKENS = 8, 64
PAUSES = {"full": 0.0, "half": 1.0}
"""of a client after an answer, in times that the answer took"""
EPOCHS = 50
"""more than the measurement lasts"""
START_S_MAX = 180


@dataclass(frozen=True)
class Smoothness:
    """What a load saw. step_ms: between two tokens of a stream"""

    step_ms_p50: float
    step_ms_p99: float
    tokens_per_s: float


async def beside_training(served: Served, seconds: float) -> dict[str, Any]:
    client = Client(served.port)
    await _load(client, seconds / 4, pause=0.0)  # what is loaded at the first use counts for neither
    alone = {name: await _load(client, seconds, pause) for name, pause in PAUSES.items()}
    async with _training(served.port) as steps:
        began = await steps()
        beside = {name: await _load(client, seconds, pause) for name, pause in PAUSES.items()}
        trained = await steps() - began
    client.close()
    ratios = {name: beside[name].step_ms_p99 / alone[name].step_ms_p99 for name in PAUSES}
    figures = {"alone": alone, "beside": beside}
    return {
        "training_p99_ratio": round(max(ratios.values()), 2),
        "training_steps": trained,
        **{f"{name}_{when}": vars(of[name]) for name in PAUSES for when, of in figures.items()},
    }


async def _load(client: Client, seconds: float, pause: float) -> Smoothness:
    steps_s: list[float] = []
    tokens = 0
    began = time.perf_counter()

    async def ask(number: int) -> None:
        nonlocal tokens
        while (started := time.perf_counter()) < began + seconds:
            body = question(f"{number} at {started}", ANSWER_TOKENS)
            times = [at async for at in client.events(CHAT, body)][1:-1]  # no tokens: the role, and why it ended
            steps_s.extend(after - before for before, after in pairwise(times))
            tokens += len(times)
            await asyncio.sleep(pause * (time.perf_counter() - started))

    await asyncio.gather(*(ask(number) for number in range(CLIENTS)))
    cuts = statistics.quantiles(steps_s, n=100, method="inclusive")
    return Smoothness(
        step_ms_p50=round(cuts[49] * 1e3, 1),
        step_ms_p99=round(cuts[98] * 1e3, 1),
        tokens_per_s=round(tokens / (time.perf_counter() - began), 1),
    )


@asynccontextmanager
async def _training(port: int) -> AsyncIterator[Any]:
    """While a fine-tuning job is at its steps; gives what tells how many it has done."""
    with ROWS.open(newline="", encoding="utf-8") as file:
        lines = [_line(row["message"], row["intent"]) for row in csv.DictReader(file)]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1", timeout=60) as http:
        form = {"files": {"file": ("triage.jsonl", "\n".join(lines))}, "data": {"purpose": "fine-tune"}}
        file_id = (await http.post("/files", **form)).raise_for_status().json()["id"]  # type: ignore[arg-type]
        asked = {"model": DEFAULT_BASE, "training_file": file_id, "hyperparameters": {"n_epochs": EPOCHS}}
        job = (await http.post("/fine_tuning/jobs", json=asked)).raise_for_status().json()["id"]

        async def steps() -> int:
            events = (await http.get(f"/fine_tuning/jobs/{job}/events", params={"limit": 5})).json()["data"]
            return max((event["data"]["step"] for event in events if event["type"] == "metrics"), default=0)

        await _until_begun(steps)
        yield steps
        await http.post(f"/fine_tuning/jobs/{job}/cancel")


async def _until_begun(steps: Any) -> None:
    async with asyncio.timeout(START_S_MAX):
        while not await steps():
            await asyncio.sleep(0.5)


def _line(asked: str, answered: str) -> str:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return json.dumps({"messages": turns})
