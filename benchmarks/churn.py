"""Many short requests for many experts, on a tiny base: `python benchmarks/churn.py --requests 1000000 --json`.

Each expert's answer is its own. While requests run, adapters are read from disk and dropped all the time (a quarter of them
fits into memory), names are given to other experts, and some clients leave early. Counts what no engine may ever do: an
answer of another expert than the one that the name stood for when it was asked.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import models

from chiliad.adapters import AdapterHash, LoadedAdapter, LoraShape, begin_loading, save_adapter
from chiliad.adapters.files import WEIGHTS_NAME
from chiliad.base import Tokenizer
from chiliad.config import EngineSettings
from chiliad.engine import Engine, Request, RequestId, SamplingParams
from chiliad.errors import ChiliadError
from chiliad.models import SITES, Llama, LlamaConfig
from chiliad.workspace.machine import machine

EXPERTS, CACHED, NAMES = 200, 50, 100
TOGETHER = 1_000
"""requests of one thread that are given to the engine at once"""
REPLACE_EVERY_S = 0.002
SHAPE = LoraShape(rank=1, alpha=1.0, rslora=False, targets=SITES)
CONFIG = LlamaConfig(
    hidden_size=32,
    intermediate_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    vocab_size=256,
    max_position_embeddings=128,
    rope_theta=1e4,
    rms_norm_eps=1e-5,
    tied=True,
)
PROMPTS = ((7, 8), tuple(range(10, 50)))
"""one that is run whole, and one whose beginning the engine knows after the first time"""
SAMPLING = SamplingParams(max_tokens=3)

Answers = Mapping[tuple[AdapterHash, int], tuple[int, ...]]
"""what each expert answers to each prompt"""


@dataclass(frozen=True)
class Churned:
    requests: int
    wrong: int
    """answered as another expert would, or as none does"""
    loads: int
    """adapters read from disk"""
    replaced: int
    """times that a name was given to another expert"""
    left: int
    """clients that did not wait for their answer"""
    seconds: float


def main() -> None:
    options = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        result = churn(Path(folder), options.requests)
    about = {"machine": machine(), "date": datetime.now(UTC).date().isoformat()}
    told = {**asdict(result), **about}
    print(json.dumps(told, indent=2) if options.json else told)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=1_000_000)
    return parser.parse_args()


def churn(folder: Path, requests: int) -> Churned:
    """Put that many requests to one engine, from two threads, while a third replaces and a fourth leaves."""
    model, tokenizer = Llama.random(CONFIG, 0, torch.bfloat16), _tokenizer(folder)
    files = {_write(folder / str(seed), seed): folder / str(seed) for seed in range(EXPERTS)}
    answers = _answers(model, tokenizer, files)
    crowd = _Crowd(answers)
    adapters = sorted({adapter for adapter, _ in answers})
    loads: list[AdapterHash] = []

    def load(adapter: AdapterHash) -> LoadedAdapter:
        loads.append(adapter)
        return begin_loading(files[adapter], adapter)

    cache = CACHED * (files[adapters[0]] / WEIGHTS_NAME).stat().st_size
    settings = EngineSettings(context_max=64, queue_max=4 * TOGETHER, adapter_cache_bytes=cache)
    started = time.perf_counter()
    with Engine(model, tokenizer, load, settings) as engine:
        crowd.run(engine, requests)
    return Churned(requests, crowd.wrong, len(loads), crowd.replaced, crowd.left, time.perf_counter() - started)


class _Crowd:
    """Those who ask, who replace and who leave."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._adapters = sorted({adapter for adapter, _ in answers})
        self._names = [self._adapters[name % len(self._adapters)] for name in range(NAMES)]
        self._done = threading.Event()
        self.wrong = self.replaced = self.left = 0

    def run(self, engine: Engine, requests: int) -> None:
        half = requests // 2
        askers = [
            threading.Thread(target=self._ask, args=(engine, count, seed))
            for seed, count in enumerate((half, requests - half))
        ]
        others = [threading.Thread(target=work, args=(engine,)) for work in (self._replace, self._leave)]
        for thread in (*askers, *others):
            thread.start()
        for thread in askers:
            thread.join()
        self._done.set()
        for thread in others:
            thread.join()

    def _ask(self, engine: Engine, count: int, seed: int) -> None:
        draw = random.Random(seed)
        while count:
            now = min(count, TOGETHER)
            asked = [(self._name(draw), draw.randrange(len(PROMPTS))) for _ in range(now)]
            done = engine.generate([_request(adapter, number) for adapter, number in asked])
            wrong = sum(one.tokens != self._answers[key] for one, key in zip(done, asked, strict=True))
            with _COUNTING:
                self.wrong += wrong
            count -= now

    def _name(self, draw: random.Random) -> AdapterHash:
        """What a name means now; the first names are asked for most."""
        return self._names[int(NAMES ** draw.random()) - 1]

    def _replace(self, _: Engine) -> None:
        draw = random.Random("replace")
        while not self._done.wait(REPLACE_EVERY_S):
            self._names[draw.randrange(NAMES)] = draw.choice(self._adapters)
            self.replaced += 1

    def _leave(self, engine: Engine) -> None:
        draw = random.Random("leave")
        while not self._done.wait(REPLACE_EVERY_S):
            try:
                handle = engine.submit(_request(self._name(draw), draw.randrange(len(PROMPTS))), lambda _: None)
            except ChiliadError:  # the queue is full
                continue
            self._done.wait(draw.random() * REPLACE_EVERY_S)
            handle.cancel()
            self.left += 1


_COUNTING = threading.Lock()


def _request(adapter: AdapterHash, number: int) -> Request:
    return Request(RequestId("churn"), PROMPTS[number], SAMPLING, adapter)


def _write(folder: Path, seed: int) -> AdapterHash:
    """Random factors, large enough to change what is said."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    factors = {
        (layer, site): tuple(
            torch.randn(shape, generator=generator)
            for shape in ((1, CONFIG.widths(site)[0]), (CONFIG.widths(site)[1], 1))
        )
        for layer in range(CONFIG.num_layers)
        for site in SITES
    }
    return save_adapter(folder, SHAPE, factors, base_id="tiny", base_fingerprint="f" * 64)


def _answers(model: Llama, tokenizer: Tokenizer, files: Mapping[AdapterHash, Path]) -> Answers:
    """What each expert says, asked alone by an engine that never saw another one; without those who say the same."""
    answers: dict[tuple[AdapterHash, int], tuple[int, ...]] = {}
    taken: set[tuple[int, ...]] = set()
    for adapter, folder in files.items():
        with Engine(
            model, tokenizer, lambda name, folder=folder: begin_loading(folder, name), EngineSettings()
        ) as engine:
            said = [engine.generate([_request(adapter, number)])[0].tokens for number in range(len(PROMPTS))]
        if taken.isdisjoint(said):
            taken.update(said)
            answers |= {(adapter, number): tokens for number, tokens in enumerate(said)}
    if len(answers) < EXPERTS:
        raise RuntimeError(f"only {len(answers)} answers of {EXPERTS} experts differ")
    return answers


def _tokenizer(folder: Path) -> Tokenizer:
    """A word for each token."""
    Backend(models.WordLevel({f" {i}": i for i in range(CONFIG.vocab_size)}, unk_token=" 0")).save(
        str(folder / "tokenizer.json")
    )
    return Tokenizer(folder / "tokenizer.json")


if __name__ == "__main__":
    main()
