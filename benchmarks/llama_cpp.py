"""llama.cpp as the peer of `serving.py`: the same base and adapters in its own formats, through its own programs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from gguf import GGUFReader

FORMATS = ("Q4_0", "Q8_0", "BF16")
"""what it computes with, each made from the file that our base came from; the best one counts in every row"""
START_S = 120
ANSWER_S = 600
CONVERT_ALL = """
import runpy, sys
script, base, *folders = sys.argv[1:]
sys.path.insert(0, script.rpartition("/")[0])
for folder in folders:
    sys.argv = [script, "--base", base, "--outfile", folder + ".gguf", "--outtype", "f16", folder]
    runpy.run_path(script, run_name="__main__")
"""


class LlamaCpp:
    """A build of llama.cpp, found by the path of its `llama-server`; two others lie beside it."""

    def __init__(self, server: Path, work: Path, threads: int) -> None:
        self._programs, self._source = server.resolve().parent, server.resolve().parents[2]
        self._work, self._threads = work, threads

    def convert_base(self, base: Path, formats: Sequence[str] = FORMATS) -> None:
        """Write it in each of the formats that is not there yet."""
        for kind in formats:
            if not self._model(kind).exists():
                source = base / "source.gguf"
                self._run("llama-quantize", "--allow-requantize", source, self._model(kind), kind, self._threads)

    def convert(self, base: Path, adapters: Sequence[Path]) -> None:
        """Write each adapter as half-precision GGUF beside its folder."""
        script = self._source / "convert_lora_to_gguf.py"
        command = [sys.executable, "-c", CONVERT_ALL, script, base, *adapters]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)

    def convert_alike(self, base: Path, adapters: Sequence[Path]) -> None:
        """What `convert` does, in a thousandth of the time, for adapters of one shape whose numbers are of no consequence:
        the first is converted, the others are written as it with random ones."""
        first, *others = (Path(f"{folder}.gguf") for folder in adapters)
        if first.exists():
            return
        self.convert(base, adapters[:1])
        written = first.read_bytes()
        at = int(GGUFReader(first).data_offset)
        draw = np.random.default_rng(0)
        for path in others:
            numbers = draw.standard_normal((len(written) - at) // 2, np.float32) * 0.01
            path.write_bytes(written[:at] + numbers.astype(np.float16).tobytes())

    def speeds(self, kind: str) -> dict[str, float]:
        """Tokens a second at what `serving.py` measures on our side, without a server around it."""
        short = self._bench(kind, prompt=16, new=64, together="1,32")
        long = self._bench(kind, prompt=256, new=1, together="16")
        return {
            "decode_1_tok_s": short[0]["speed_tg"],
            "decode_32_tok_s": short[1]["speed_tg"],
            "prefill_tok_s": long[0]["speed_pp"],
        }

    @contextmanager
    def serving(self, kind: str, adapters: Sequence[Path], *, slots: int, context: int = 256) -> Iterator[httpx.Client]:
        """`llama-server` with all adapters loaded and none applied; a slot is for one request at a time."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = ["-m", self._model(kind), "-c", context * slots, "-np", slots, "--port", port, "--no-webui"]
        options += ["-t", self._threads, "-tb", self._threads, "--no-cache-prompt", "--lora-init-without-apply"]
        options += ["--lora", ",".join(f"{folder}.gguf" for folder in adapters)]
        command = list(map(str, [self._programs / "llama-server", *options]))
        log = (self._work / "llama-server.log").open("w")
        with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                limits = httpx.Limits(max_connections=None)
                url = f"http://127.0.0.1:{port}"
                with httpx.Client(base_url=url, timeout=ANSWER_S, limits=limits) as client:
                    _wait_until_ready(client, process)
                    yield client
            finally:
                process.terminate()

    def _bench(self, kind: str, *, prompt: int, new: int, together: str) -> list[dict[str, float]]:
        options = ("-npp", prompt, "-ntg", new, "-npl", together, "-c", 8192, "-b", 2048, "-ub", 512)
        threads = ("-t", self._threads, "-tb", self._threads)
        told = self._run("llama-batched-bench", "-m", self._model(kind), *options, *threads, "--output-format", "jsonl")
        return [json.loads(line) for line in told.splitlines() if line.startswith("{")]

    def _model(self, kind: str) -> Path:
        return self._work / f"base-{kind}.gguf"

    def _run(self, program: str, *arguments: object) -> str:
        command = list(map(str, [self._programs / program, *arguments]))
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def answers_per_second(
    client: httpx.Client, prompts: Sequence[Sequence[int]], adapters: Sequence[int | None], new: int
) -> float:
    """New tokens a second over requests that start at once, prompts included in the time. Adapters by their place."""

    def ask(prompt: Sequence[int], adapter: int | None) -> int:
        answer = client.post("/completion", json=_body(prompt, adapter, new))
        answer.raise_for_status()
        return int(answer.json()["tokens_predicted"])

    with ThreadPoolExecutor(len(prompts)) as pool:
        started = time.perf_counter()
        tokens = sum(pool.map(ask, prompts, adapters))
        seconds = time.perf_counter() - started
    if tokens != new * len(prompts):
        raise RuntimeError(f"llama-server gave {tokens} tokens where {new * len(prompts)} were asked for")
    return tokens / seconds


def stream_tokens(client: httpx.Client, prompt: Sequence[int], adapter: int | None, new: int) -> Iterator[int]:
    """How many tokens have come, each time that some have."""
    with client.stream("POST", "/completion", json={**_body(prompt, adapter, new), "stream": True}) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            told = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if told.get("tokens"):
                yield len(told["tokens"])


def _body(prompt: Sequence[int], adapter: int | None, new: int) -> dict[str, object]:
    body = {"prompt": prompt, "n_predict": new, "ignore_eos": True, "temperature": 0, "cache_prompt": False}
    return body if adapter is None else {**body, "lora": [{"id": adapter, "scale": 1.0}]}


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.get("/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError("llama-server did not start; its log says why")
