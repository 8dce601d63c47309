"""What the rows of `serving.py` share: the base, experts as files, an engine that reads them, requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from llama_cpp import LlamaCpp

from chiliad.adapters import (
    AdapterHash,
    Basis,
    BasisFolder,
    CoreShape,
    LoadedAdapter,
    LoraShape,
    begin_loading,
    save_adapter,
)
from chiliad.adapters.files import CONFIG_NAME, WEIGHTS_NAME, content_hash
from chiliad.base import Base
from chiliad.config import EngineSettings, Precision
from chiliad.engine import Engine, Request, RequestId, SamplingParams
from chiliad.models import SITES, Llama, LlamaConfig
from chiliad.training.memory import release_freed_memory

Files = Mapping[AdapterHash, Path]


@dataclass(frozen=True)
class Bench:
    base: Base
    folder: Path
    """for what is written meanwhile"""
    threads: int
    precision: Precision
    repeats: int
    llama_server: Path | None

    @cached_property
    def config(self) -> LlamaConfig:
        return LlamaConfig.from_hf(self.base.config)

    @cached_property
    def peer(self) -> LlamaCpp | None:
        return LlamaCpp(self.llama_server, self.folder, self.threads) if self.llama_server else None

    def engine(self, files: Files, **settings: Any) -> Engine:
        """At the precision that is measured, without a prefix cache."""
        wanted = EngineSettings(prefix_cache_bytes=0, precision=self.precision, **settings)
        load = self._loader(files)
        tokenizer, codes = self.base.tokenizer(), self.base.quantised()
        model = Llama.load(self.base.path, self.config)
        engine = Engine(model, tokenizer, load, wanted, quantised=codes, threads=self.threads)
        del model
        release_freed_memory()
        return engine

    def experts(self, name: str, count: int, *, rank: int = 8, sites: Sequence[str] = SITES) -> dict[AdapterHash, Path]:
        """Random adapters of one shape as files, each with another content hash."""
        folder = self.folder / name
        first = folder / "0"
        first.mkdir(parents=True)
        shape = LoraShape(rank, 2.0 * rank, False, tuple(sites))
        factors = {
            (i, site): _factors(rank, *self.config.widths(site))
            for i in range(self.config.num_layers)
            for site in sites
        }
        save_adapter(first, shape, factors, base_id=self.base.id, base_fingerprint=self.base.fingerprint)
        return {_like(first, folder / str(seed), seed): folder / str(seed) for seed in range(1, count + 1)}

    def small_experts(self, name: str, count: int, *, rank: int = 8) -> dict[AdapterHash, Path]:
        """The same of the kind shared-basis, between one basis."""
        basis = Basis.of(Llama.load(self.base.path, self.config).weights(), rank)
        self._bases.put(basis)
        first = self.folder / name / "0"
        first.mkdir(parents=True)
        cores = {key: (torch.randn(rank, rank) * 0.01,) for key, _ in basis.pairs()}
        save_adapter(first, CoreShape(basis), cores, base_id=self.base.id, base_fingerprint=self.base.fingerprint)
        others = [first.parent / str(seed) for seed in range(1, count + 1)]
        return {_like(first, folder, seed): folder for seed, folder in enumerate(others)}

    @property
    def _bases(self) -> BasisFolder:
        return BasisFolder(self.folder / "basis")

    def _loader(self, files: Files) -> Callable[[AdapterHash], LoadedAdapter]:
        return lambda adapter: begin_loading(files[adapter], adapter, basis=self._bases)

    def prompt(self, tokens: int) -> tuple[int, ...]:
        """Random and new."""
        return tuple(random.randrange(self.config.vocab_size) for _ in range(tokens))


def request(prompt: tuple[int, ...], new: int, adapter: AdapterHash | None) -> Request:
    return Request(RequestId("benchmark"), prompt, SamplingParams(max_tokens=new), adapter)


def _factors(rank: int, width_in: int, width_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rank, width_in) * width_in**-0.5, torch.randn(width_out, rank) * 0.01


def _like(first: Path, folder: Path, seed: int) -> AdapterHash:
    """An adapter with other numbers than `first`, small ones, and the rest as it is there."""
    folder.mkdir()
    (folder / CONFIG_NAME).write_bytes((first / CONFIG_NAME).read_bytes())
    written = (first / WEIGHTS_NAME).read_bytes()
    header = 8 + int.from_bytes(written[:8], "little")
    numbers = (len(written) - header) // 2
    drawn = torch.randn(numbers, generator=torch.Generator().manual_seed(seed)).mul_(0.01).bfloat16()
    (folder / WEIGHTS_NAME).write_bytes(written[:header] + drawn.view(torch.uint8).numpy().tobytes())
    return content_hash(folder)
