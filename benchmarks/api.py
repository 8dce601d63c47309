"""What the server costs on top of the engine, and whether it holds: `python benchmarks/api.py --json`.

Everything is asked of real servers over HTTP on this machine, on the default base. The load client is a process of
its own and is not counted.

- overhead_ms, overhead_ms_per_token: the server's processor time (see api_server.py) for a streamed chat answer, at
  64 at once: a line through answers of one token and of many.
- dropped, duplicated: tokens of streams, 256 at once, against what the same question got when it was asked alone.
- ready_s: from the start of `chiliad serve` to the first 200 of /ready; the median.
- soak_growth_mib: how much the process grew between the first third and the end of an hour's requests, at two a
  second and of ten kinds, sent as fast as they are answered.
- overload_p99_ratio: how long the slowest hundredth of admitted answers took when requests came at ten times the rate
  that the server had answered when it was as full as it lets itself be, over the same then.
- training_p99_ratio: the slowest hundredth of steps from token to token while an expert is trained beside the server
  over the same without, at the worse of two loads (see api_training.py).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Any

from api_process import CHAT, Served, free_port, good, question, serving
from api_training import beside_training
from http_load import Client, Reply, at_once

from chiliad.base import DEFAULT_BASE
from chiliad.workspace.machine import machine

STREAMS, MANY_STREAMS, SOAK_CLIENTS = 64, 256, 32
LONG_TOKENS = 64
QUESTIONS = 32
BATCH_MAX, QUEUE_MAX, OVERLOAD, OVERLOAD_TOKENS = 32, 32, 10, 32
START_S = 120
BETWEEN_S = 0.02
SMALL = {"CHILIAD_ENGINE__BATCH_MAX": str(BATCH_MAX), "CHILIAD_ENGINE__QUEUE_MAX": str(QUEUE_MAX)}
UNCACHED = {"CHILIAD_ENGINE__PREFIX_CACHE_BYTES": "0"}
"""or the prefix cache would grow to its size during the soak"""


def main() -> None:
    options = _arguments()
    result: dict[str, Any] = {}
    for part in options.parts:
        result |= PARTS[part](options)
    about = {"base": DEFAULT_BASE, "load_1min": round(os.getloadavg()[0], 1), "machine": machine()}
    result |= {**vars(options), **about, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    del result["json"]
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<28} {v}" for k, v in result.items()))


def _streaming(options: argparse.Namespace) -> dict[str, Any]:
    with serving() as served:
        return asyncio.run(_overhead(served, options.repeats)) | asyncio.run(_streams(served, options.requests))


def _lasting(options: argparse.Namespace) -> dict[str, Any]:
    with serving(**SMALL, **UNCACHED) as served:
        soak = asyncio.run(_soak(served, options.soak_requests))
        return soak | asyncio.run(_overload(served, options.overload_seconds))


def _starting(options: argparse.Namespace) -> dict[str, Any]:
    seconds = [_start_s() for _ in range(options.starts)]
    return {"ready_s": round(statistics.median(seconds), 2)}


def _training(options: argparse.Namespace) -> dict[str, Any]:
    with serving() as served:
        return asyncio.run(beside_training(served, options.training_seconds))


PARTS = {"streaming": _streaming, "lasting": _lasting, "starting": _starting, "training": _training}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--repeats", type=int, default=16, help="answers of each length for each of the 64 clients")
    parser.add_argument("--requests", type=int, default=10_000, help="streams whose tokens are counted")
    parser.add_argument("--soak-requests", type=int, default=7200)
    parser.add_argument("--overload-seconds", type=float, default=20.0, help="of full load, and again of overload")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument(
        "--training-seconds", type=float, default=30.0, help="of each load, without and with a training"
    )
    return parser.parse_args()


async def _overhead(served: Served, repeats: int) -> dict[str, float]:
    client = Client(served.port)
    times = STREAMS * repeats
    await _answered(client, served, STREAMS, LONG_TOKENS)  # what is loaded and compiled at the first use is no overhead
    short_s, short_tokens = await _answered(client, served, times, 1)
    long_s, long_tokens = await _answered(client, served, times, LONG_TOKENS)
    client.close()
    per_token_s = (long_s - short_s) / (long_tokens - short_tokens)
    return {
        "overhead_ms": round((short_s - per_token_s * short_tokens) / times * 1e3, 3),
        "overhead_ms_per_token": round(per_token_s * 1e3, 4),
    }


async def _answered(client: Client, served: Served, times: int, tokens: int) -> tuple[float, int]:
    """The server's seconds for so many streams, and the tokens that came."""
    counts: list[int] = []

    async def ask(number: int) -> None:
        reply = await client.post(
            CHAT, question(f"{number} and {tokens}", tokens, stream_options={"include_usage": True})
        )
        counts.append([*good(reply).events()][-1]["usage"]["completion_tokens"])

    before = served.meter().server_s
    await at_once(STREAMS, ask, times)
    return served.meter().server_s - before, sum(counts)


async def _streams(served: Served, requests: int) -> dict[str, int]:
    client = Client(served.port)
    bodies = [question(f"item {number}", 4 + number % 5, logprobs=True) for number in range(QUESTIONS)]
    alone = [_tokens(good(await client.post(CHAT, body))) for body in bodies]
    found: Counter[str] = Counter(dropped=0, duplicated=0)

    async def ask(number: int) -> None:
        got = _tokens(good(await client.post(CHAT, bodies[number % QUESTIONS])))
        for kind, a, b, c, d in SequenceMatcher(None, alone[number % QUESTIONS], got, autojunk=False).get_opcodes():
            if kind != "equal":
                found.update(dropped=b - a, duplicated=d - c)

    await at_once(MANY_STREAMS, ask, requests)
    client.close()
    return dict(found)


def _tokens(reply: Reply) -> list[str]:
    choices = [choice for event in reply.events() for choice in event["choices"]]
    return [one["token"] for choice in choices if choice["logprobs"] for one in choice["logprobs"]["content"]]


async def _soak(served: Served, requests: int) -> dict[str, float]:
    client = Client(served.port)
    kinds = _kinds(client)

    async def ask(number: int) -> None:
        await kinds[number % len(kinds)](number)

    await at_once(SOAK_CLIENTS, ask, requests // 3)
    before = await _settled_mib(served)
    await at_once(SOAK_CLIENTS, ask, requests - requests // 3)
    growth = await _settled_mib(served) - before
    client.close()
    return {"soak_growth_mib": round(growth, 1), "soak_mib": round(before, 1)}


def _kinds(client: Client) -> list[Any]:
    """Ten requests, of which some are wrong and some are not waited for."""
    whole = {"stream": False}
    schema = {"type": "json_object"}
    return [
        lambda n: client.post(CHAT, question(str(n), 4, **whole)),
        lambda n: client.post(CHAT, question(str(n), 8)),
        lambda n: client.post(CHAT, question(str(n), 8, **whole, logprobs=True, top_logprobs=3)),
        lambda n: client.post(CHAT, question("json", 8, **whole, response_format=schema)),
        lambda n: client.post("/v1/completions", {"model": DEFAULT_BASE, "prompt": [f"{n}, "] * 2, "max_tokens": 4}),
        lambda n: client.post("/v1/responses", {"model": DEFAULT_BASE, "input": str(n), "max_output_tokens": 4}),
        lambda n: client.leave(CHAT, question(str(n), 64)),
        lambda n: client.post(CHAT, {**question(str(n), 4), "model": f"nobody-{n}"}),
        lambda n: client.post(CHAT, {"messages": n}),
        lambda n: client.get("/v1/models"),
    ]


async def _settled_mib(served: Served) -> float:
    """The least of some looks while nothing is asked."""
    looks = []
    for _ in range(5):
        await asyncio.sleep(0.5)
        looks.append(served.meter().rss_mib)
    return min(looks)


async def _overload(served: Served, seconds: float) -> dict[str, float | int]:
    client = Client(served.port)
    full: list[Reply] = []
    end = time.perf_counter() + seconds

    async def busy(number: int) -> None:
        while time.perf_counter() < end:
            reply = await client.post(CHAT, question(f"{number} {len(full)}", OVERLOAD_TOKENS))
            if reply.status == 200:
                full.append(reply)
            else:  # it came between the end of an answer and the next step of the engine
                await asyncio.sleep(BETWEEN_S)

    await at_once(BATCH_MAX + QUEUE_MAX, busy, BATCH_MAX + QUEUE_MAX)
    rate = len(full) / seconds
    replies = await _arriving(client, OVERLOAD * rate, seconds)
    client.close()
    admitted = [reply for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status == 429]
    assert len(admitted) + len(refused) == len(replies), Counter(reply.status for reply in replies)
    return {
        "overload_p99_ratio": round(_p99(admitted) / _p99(full), 2),
        "full_p99_s": round(_p99(full), 2),
        "full_per_s": round(rate, 1),
        "overload_admitted": len(admitted),
        "overload_refused": len(refused),
        "overload_refused_without_retry_after": sum("retry-after" not in reply.headers for reply in refused),
    }


async def _arriving(client: Client, rate: float, seconds: float) -> list[Reply]:
    """What requests got that came so many a second, whether earlier ones were answered or not."""
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(started + number / rate - time.perf_counter())
            body = question(f"over {number}", OVERLOAD_TOKENS)
            tasks.append(group.create_task(client.post(CHAT, body)))
    return [task.result() for task in tasks]


def _p99(replies: Sequence[Reply]) -> float:
    return statistics.quantiles((reply.seconds for reply in replies), n=100, method="inclusive")[98]


def _start_s() -> float:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, "-m", "chiliad", "serve", "--workspace", f"{folder}/ws", "--port", str(port)]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                while not _is_ready(port):
                    assert time.perf_counter() - started < START_S, "it did not start"
                    time.sleep(0.01)
                return time.perf_counter() - started
            finally:
                process.terminate()


def _is_ready(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready"):
        return True
    return False


if __name__ == "__main__":
    main()
