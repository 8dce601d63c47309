"""The compiled step: near the plain forward pass in float32, and the same bits in any company."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chiliad.adapters import (
    Adapter,
    AdapterHash,
    Basis,
    CoreAdapter,
    Ia3Adapter,
    Ia3Shape,
    LoraAdapter,
    LoraShape,
    load_adapter,
    save_adapter,
)
from chiliad.adapters.stored_pairs import StoredPairs
from chiliad.config import EngineSettings, Precision
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.runner import Chunk, Logits, SequenceId
from chiliad.engine.torch_runner import TorchRunner
from chiliad.errors import BrokenAdapter
from chiliad.kernels import path_in_use
from chiliad.models import SITES, Group, Llama, LlamaConfig
from chiliad.models.transformer import random_tensors

SETTINGS = EngineSettings(batch_max=12, context_max=160)
SHAPES = {
    "grouped queries": {"num_heads": 6, "num_kv_heads": 2, "head_dim": 16},
    "a key head for each query head": {"num_heads": 3, "num_kv_heads": 3, "head_dim": 32, "hidden_size": 98},
    "seven queries for a key head": {"num_heads": 7, "num_kv_heads": 1, "head_dim": 8, "tied": False},
    "wide heads": {"num_heads": 2, "num_kv_heads": 1, "head_dim": 128, "intermediate_size": 200, "vocab_size": 301},
    "odd widths of sites": {
        "num_heads": 5,
        "num_kv_heads": 5,
        "head_dim": 10,
        "hidden_size": 50,
        "intermediate_size": 70,
    },
}
REAL_SIZES = {"hidden_size": 576, "intermediate_size": 1536, "num_heads": 9, "num_kv_heads": 3, "head_dim": 64}
ADAPTERS = (
    (8, SITES, None),
    (8, SITES, None),
    (1, ("q_proj", "v_proj"), None),
    (3, ("k_proj", "o_proj", "up_proj"), [1]),
    (34, ("gate_proj", "down_proj"), [0, 2]),
)
"""(rank, sites, layers or all)"""
CORE_RANKS = (4, 4, 3)
"""of shared-basis adapters; those of one rank share a basis"""


def config(**options):
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_layers": 3, "vocab_size": 130, "tied": True}
    rest = {"max_position_embeddings": 160, "rope_theta": 1e4, "rms_norm_eps": 1e-5}
    return LlamaConfig(**(sizes | rest | options))


def random_adapter(number, config):
    rank, sites, layers = ADAPTERS[number]
    generator = torch.Generator().manual_seed(number)

    def draw(*shape):
        return (torch.randn(*shape, generator=generator) * shape[-1] ** -0.5).bfloat16()

    factors = {
        (layer, site): (draw(rank, config.widths(site)[0]), draw(config.widths(site)[1], rank))
        for layer in layers or range(config.num_layers)
        for site in sites
    }
    return LoraAdapter(AdapterHash(f"adapter {number}"), LoraShape(rank, rank, False, tuple(sites)), None, factors)


def random_cores(number, model):
    basis = Basis.of(model.weights(), CORE_RANKS[number])
    generator = torch.Generator().manual_seed(100 + number)
    shape = (basis.layers, basis.rank, basis.rank)
    cores = {site: torch.randn(shape, generator=generator).bfloat16() * 0.3 for site in basis.sites}
    return CoreAdapter(AdapterHash(f"cores {number}"), basis, None, cores)


def random_scales(number, config):
    sites = (("k_proj", "v_proj", "down_proj"), ("down_proj",))[number]
    generator = torch.Generator().manual_seed(200 + number)
    scales = {
        (layer, site): (1 + 0.3 * torch.randn(config.scaled_width(site), generator=generator)).bfloat16()
        for layer in range(config.num_layers)
        for site in sites
    }
    return Ia3Adapter(AdapterHash(f"scales {number}"), Ia3Shape(sites), None, scales)


@dataclass
class Pair:
    """The same bfloat16 weights for the compiled step, and in float32 for PyTorch."""

    model: Llama
    settings: EngineSettings
    native: NativeRunner
    torch: TorchRunner
    adapters: list[Adapter]

    @classmethod
    def make(cls, config, precision=Precision.BF16):
        weights = {name: tensor.bfloat16() for name, tensor in random_tensors(config, 3).items()}
        model = Llama(config, weights, torch.bfloat16)
        if not NativeRunner.fits(model, SETTINGS):
            pytest.skip(f"computes with {path_in_use()}")
        adapters = [
            *(random_adapter(number, config) for number in range(len(ADAPTERS))),
            *(random_cores(number, model) for number in range(len(CORE_RANKS))),
            *(random_scales(number, config) for number in range(2)),
        ]
        plain = TorchRunner(Llama(config, weights, torch.float32), SETTINGS)
        settings = replace(SETTINGS, precision=precision)
        return cls(model, settings, NativeRunner(model, settings), plain, adapters)

    def prepared(self, runner):
        return [None, *(runner.prepare(adapter) for adapter in self.adapters)]


@pytest.fixture(scope="module", params=SHAPES)
def pair(request):
    return Pair.make(config(**SHAPES[request.param]))


@pytest.fixture(scope="module", params=Precision)
def one(request):
    return Pair.make(config(**SHAPES["grouped queries"]), request.param)


def prompt(number, length):
    return tuple(torch.randint(0, 130, (length,), generator=torch.Generator().manual_seed(number)).tolist())


def run(runner, chunks):
    """Logits of a step, kept, with the sequences released."""
    logits = runner.run(chunks).clone()
    for chunk in chunks:
        runner.release(chunk.sequence)
    return logits


def assert_near(got, wanted):
    """bfloat16 keeps eight bits; here they go through twelve products and as many of the adapters."""
    spread = wanted.max(-1, keepdim=True).values - wanted.min(-1, keepdim=True).values
    error = (got - wanted) / spread
    assert error.abs().max() < 0.05
    assert error.square().mean().sqrt() < 0.005


def test_a_mixed_batch_of_prompts_and_a_decoding_step(pair):
    lengths = (5, 40, 1, 33, 100, 64, 40, 3, 1, 70, 20)
    got = []
    for runner in (pair.native, pair.torch):
        kinds = pair.prepared(runner)
        starts = [Chunk(SequenceId(i), prompt(i, n), 0, kinds[i], Logits.ALL) for i, n in enumerate(lengths)]
        logits = [runner.run(starts).clone()]
        steps = [Chunk(SequenceId(i), (7,), n, kinds[i], Logits.LAST) for i, n in enumerate(lengths)]
        got.append(torch.cat([*logits, run(runner, steps)]))
    assert_near(*got)


def test_only_wanted_logits_come_in_the_order_of_the_chunks(pair):
    kinds = pair.prepared(pair.native)
    wanted = [Logits.LAST, Logits.NONE, Logits.ALL, Logits.LAST]
    adapters = [kinds[4], None, kinds[1], None]
    chunks = [Chunk(SequenceId(i), prompt(i, 9), 0, adapters[i], wanted[i]) for i in range(4)]
    logits = run(pair.native, chunks)
    every = run(pair.native, [replace(chunk, logits=Logits.ALL) for chunk in chunks]).split(9)
    assert torch.equal(logits, torch.cat((every[0][-1:], every[2], every[3][-1:])))
    assert len(run(pair.native, [chunks[1]])) == 0
    assert len(pair.native.run([])) == 0


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_bits_do_not_depend_on_company_chunks_or_threads(one, data):
    """A sequence alone in one piece against the same one cut anywhere, among others, under other thread counts."""
    kinds = one.prepared(one.native)
    company = data.draw(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 90)), max_size=7), label="others")
    kind, length = data.draw(st.integers(0, 10), label="kind"), data.draw(st.integers(1, 130), label="length")
    inner = data.draw(st.sets(st.integers(1, max(1, length - 1)), max_size=4), label="cuts")
    threads = data.draw(st.sampled_from([1, 2, 3]), label="threads")
    tokens = prompt(99, length)
    alone = run(one.native, [Chunk(SequenceId(0), tokens, 0, kinds[kind], Logits.ALL)])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = _cut_among_others(one.native, kinds, tokens, kind, sorted({0, *inner, length}), company)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(rows, alone)


def _cut_among_others(runner, kinds, tokens, kind, cuts, company):
    """All logits of `tokens`, one chunk a step, in the midst of sequences that go on and end by turns."""
    rows = []
    for step, (start, stop) in enumerate(pairwise(cuts)):
        others = [
            Chunk(SequenceId(100 * step + 10 + i), prompt(i, n), 0, kinds[other], Logits.LAST)
            for i, (other, n) in enumerate(company)
        ]
        mine = Chunk(SequenceId(1), tokens[start:stop], start, kinds[kind], Logits.ALL)
        half = len(others) // 2
        logits = runner.run([*others[:half], mine, *others[half:]])
        rows.append(logits[half : half + stop - start].clone())
        for other in others:
            runner.release(other.sequence)
    runner.release(SequenceId(1))
    return torch.cat(rows)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_known_beginning_changes_no_bit_and_is_never_another_adapters(one, data):
    kinds = one.prepared(one.native)
    runner = NativeRunner(one.model, replace(one.settings, prefix_cache_bytes=1 << 20))
    for number in range(data.draw(st.integers(2, 6), label="turns")):
        kind = data.draw(st.sampled_from([0, 1, 2, 6, 7, 9]), label="kind")
        same, rest = data.draw(st.integers(0, 100), label="same"), data.draw(st.integers(1, 40), label="rest")
        tokens = prompt(99, 100)[:same] + prompt(number, rest)
        alone = run(one.native, [Chunk(SequenceId(0), tokens, 0, kinds[kind], Logits.LAST)])
        known = runner.begin(SequenceId(number), tokens, kinds[kind])
        chunk = Chunk(SequenceId(number), tokens[known:], known, kinds[kind], Logits.LAST)
        assert torch.equal(runner.run([chunk]), alone)
        if data.draw(st.booleans(), label="release"):
            runner.release(SequenceId(number))


@pytest.mark.parametrize("sites", [SITES, Group.QKV.sites[:1], Group.GATE_UP.sites])
def test_a_broken_adapter_spoils_its_own_rows_only_and_leaves_nothing(one, sites):
    adapter = one.adapters[0]
    factors = {(i, s): (a, b * torch.nan if s in sites else b) for (i, s), (a, b) in adapter.factors.items()}
    broken = one.native.prepare(replace(adapter, hash=AdapterHash("broken"), factors=factors))
    good = Chunk(SequenceId(0), prompt(0, 37), 0, None, Logits.ALL)
    bad = Chunk(SequenceId(1), prompt(1, 45), 0, broken, Logits.ALL)
    alone = run(one.native, [good])
    logits = run(one.native, [good, bad])
    assert torch.equal(logits[:37], alone)
    assert logits[37:].isnan().all()
    after = [replace(good, sequence=SequenceId(i)) for i in range(2, 6)]  # in the blocks that the broken one had
    assert torch.equal(run(one.native, after), alone.repeat(4, 1))


def test_release_leaves_nothing_behind(one):
    runner = NativeRunner(one.model, one.settings)
    kinds = one.prepared(runner)
    for turn in range(20):
        for i in range(6):
            runner.run([Chunk(SequenceId(10 * turn + i), prompt(i, 1 + 20 * i), 0, kinds[i], Logits.LAST)])
        assert runner.sequences == 6
        for i in range(6):
            runner.release(SequenceId(10 * turn + i))
            runner.release(SequenceId(10 * turn + i))
    assert runner.sequences == 0


def test_an_adapter_for_other_widths_is_refused_by_name(one):
    adapter = one.adapters[0]
    narrow = {key: (a[:, :-1], b) for key, (a, b) in adapter.factors.items()}
    with pytest.raises(BrokenAdapter, match=r"does not fit this base at \w+_proj of layer"):
        one.native.prepare(replace(adapter, factors=narrow))


@pytest.mark.parametrize("number", range(len(ADAPTERS)))
def test_an_adapter_as_it_lies_in_its_file_is_packed_to_the_same_bits(pair, number, tmp_path):
    adapter = pair.adapters[number]
    shape = replace(adapter.shape, alpha=1.7 * adapter.rank)
    save_adapter(tmp_path, shape, adapter.factors, base_id="tiny", base_fingerprint="f")
    stored = load_adapter(tmp_path)
    assert isinstance(stored.factors, StoredPairs)
    cut = replace(stored, factors={key: (a, (b.float() * 1.7).bfloat16()) for key, (a, b) in adapter.factors.items()})
    chunks = [Chunk(SequenceId(0), prompt(1, 40), 0, pair.native.prepare(one), Logits.ALL) for one in (stored, cut)]
    assert torch.equal(*(run(pair.native, [chunk]) for chunk in chunks))


@pytest.mark.parametrize("other", [{"hidden_size": 96}, {"num_layers": 2}])
def test_a_file_for_another_model_is_refused_by_name(one, other, tmp_path):
    adapter = one.adapters[0]
    save_adapter(tmp_path, adapter.shape, adapter.factors, base_id="tiny", base_fingerprint="f")
    stored, shapes = load_adapter(tmp_path), SHAPES["grouped queries"]
    one.native.prepare(stored)
    smaller = Pair.make(config(**(shapes | other)))
    with pytest.raises(BrokenAdapter, match=r"does not fit this base at \w+_proj of layer"):
        smaller.native.prepare(stored)


def test_memory_that_was_made_ready_holds_the_next_adapter_to_the_same_bits():
    """Rank 33 is padded with zeros; with a megabyte in every layer it is large enough for memory of its own."""
    real = Pair.make(config(**REAL_SIZES, num_layers=3))
    factors = {
        (layer, site): (torch.randn(33, widths[0]).bfloat16(), torch.randn(widths[1], 33).bfloat16() * 0.1)
        for layer in range(3)
        for site, widths in ((site, real.model.config.widths(site)) for site in SITES)
    }
    adapter = LoraAdapter(AdapterHash("odd"), LoraShape(33, 33, False, SITES), None, factors)
    first = real.native.prepare(adapter)
    first.packed.keep_spare()
    ready, mapped = real.native.prepare(adapter), real.native.prepare(adapter)
    wanted, *others = (
        run(real.native, [Chunk(SequenceId(i), prompt(1, 20), 0, one, Logits.ALL)])
        for i, one in enumerate((first, ready, mapped))
    )
    assert all(torch.equal(wanted, other) for other in others)


def test_an_adapter_takes_hardly_more_than_its_factors():
    real = Pair.make(config(**REAL_SIZES, num_layers=1))
    for adapter in (real.adapters[0], real.adapters[5], real.adapters[8]):  # a LoRA, cores, scales
        assert real.native.prepare(adapter).bytes < 1.05 * adapter.bytes


def test_a_basis_is_packed_once_and_goes_with_its_last_adapter(one):
    runner = NativeRunner(one.model, one.settings)
    first, second, other = (runner.prepare(one.adapters[i]) for i in (5, 6, 7))
    assert first.packed.basis is second.packed.basis
    assert other.packed.basis is not first.packed.basis
    assert len(runner._bases) == 2
    del first, second, other
    assert not runner._bases


def test_float32_and_odd_sizes_are_left_to_pytorch():
    assert not NativeRunner.fits(Llama.random(config(**SHAPES["grouped queries"]), 0, torch.float32), SETTINGS)
    odd = config(num_heads=2, num_kv_heads=1, head_dim=16, intermediate_size=97)
    assert not NativeRunner.fits(Llama.random(odd, 0, torch.bfloat16), SETTINGS)
