"""The runner against `transformers` and `peft`: mixed batches, any chunking, any company."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from chiliad.engine.mixed_lora import MixedLora
from chiliad.engine.runner import Chunk, Logits, SequenceId
from chiliad.engine.torch_runner import TorchRunner
from chiliad.errors import BrokenAdapter
from chiliad.models import Llama
from tests.engine.tiny import NAMES, SETTINGS, broken


@pytest.fixture
def runner(tiny):
    return TorchRunner(tiny.model, SETTINGS)


def chunk(tiny, number, expert, tokens, start=0, logits=Logits.ALL):
    adapter = MixedLora(tiny.model).prepare(tiny.adapters[expert]) if expert else None
    return Chunk(SequenceId(number), tuple(tokens), start, adapter, logits)


def prompt(number, length):
    return torch.randint(0, 250, (length,), generator=torch.Generator().manual_seed(number)).tolist()


def assert_close(got, wanted):
    torch.testing.assert_close(got.log_softmax(-1), wanted, atol=3e-4, rtol=1e-3)


def test_a_prefill_of_all_experts_in_one_step(tiny, runner):
    prompts = [prompt(i, length) for i, length in enumerate((5, 17, 5, 1, 9, 30, 5, 8, 70, 1, 12))]
    logits = runner.run([chunk(tiny, i, name, p) for i, (name, p) in enumerate(zip(NAMES, prompts, strict=True))])
    rows = logits.split([len(p) for p in prompts])
    for name, p, row in zip(NAMES, prompts, rows, strict=True):
        assert_close(row, tiny.logprobs(name, p))


@pytest.mark.parametrize("cut", [1, 2, 7, 16])
def test_chunks_give_what_the_whole_prompt_gives(tiny, runner, cut):
    names = NAMES[:3]
    prompts = [prompt(i, 20 + i) for i in range(3)]
    got = [[], [], []]
    for start in range(0, 22, cut):
        parts = [(i, p[start : start + cut]) for i, p in enumerate(prompts) if p[start : start + cut]]
        logits = runner.run([chunk(tiny, i, names[i], part, start) for i, part in parts])
        for (i, _), rows in zip(parts, logits.split([len(part) for _, part in parts]), strict=True):
            got[i].append(rows)
    for name, p, rows in zip(names, prompts, got, strict=True):
        assert_close(torch.cat(rows), tiny.logprobs(name, p))


def test_decoding_beside_prefill_with_many_rows_of_one_adapter(tiny, runner):
    """More sequences than the first lane and stack hold, lengths apart, one prompt between them in two pieces."""
    names = [NAMES[i % 3] for i in range(14)]
    ids = [prompt(i, 3 + 2 * i) for i in range(14)]
    runner.run([chunk(tiny, i, name, p) for i, (name, p) in enumerate(zip(names, ids, strict=True)) if i != 5])
    for step in range(3):
        work = [chunk(tiny, i, names[i], [40 + step], len(ids[i])) for i in range(14) if i != 5]
        for i in range(14):
            if i != 5:
                ids[i] = [*ids[i], 40 + step]
        if step < 2:
            work.insert(3, chunk(tiny, 5, names[5], ids[5][step * 6 : step * 6 + 6], step * 6, Logits.NONE))
        logits = runner.run(work)
    decoded = [i for i in range(14) if i != 5]
    for i, row in zip(decoded, logits, strict=True):
        assert_close(row, tiny.logprobs(names[i], ids[i])[-1])


def test_a_sequence_moves_to_a_longer_lane_and_gaps_close(tiny, monkeypatch):
    monkeypatch.setattr("chiliad.engine.kv_cache.CAPACITY_FIRST", 8)
    runner = TorchRunner(tiny.model, SETTINGS)
    ids = [prompt(i, 5) for i in range(5)]
    names = NAMES[:5]
    runner.run([chunk(tiny, i, names[i], ids[i], 0) for i in range(5)])
    runner.release(SequenceId(0))
    runner.release(SequenceId(2))
    for step in range(30):
        alive = [1, 3, 4] if step < 20 else [1, 4]
        if step == 20:
            runner.release(SequenceId(3))
        logits = runner.run([chunk(tiny, i, names[i], [step], len(ids[i])) for i in alive])
        for i, row in zip(alive, logits, strict=True):
            ids[i] = [*ids[i], step]
            assert_close(row, tiny.logprobs(names[i], ids[i])[-1])


def test_a_reused_row_knows_nothing_of_the_one_before(tiny, runner):
    """rows are read whole: what a broken adapter left there would spoil the next sequence."""
    bad = broken(tiny.adapters["all linear, r=4"])
    first = Chunk(SequenceId(0), tuple(prompt(0, 20)), 0, bad, Logits.LAST)
    logits = runner.run([first, chunk(tiny, 1, None, prompt(1, 12), logits=Logits.LAST)])
    assert logits[0].isnan().all()
    runner.release(SequenceId(0))
    runner.run([chunk(tiny, 2, None, prompt(2, 3))])
    logits = runner.run([chunk(tiny, 1, None, [9], 12), chunk(tiny, 2, None, [9], 3)])
    assert_close(logits[0], tiny.logprobs(None, [*prompt(1, 12), 9])[-1])
    assert_close(logits[1], tiny.logprobs(None, [*prompt(2, 3), 9])[-1])


def test_an_adapter_for_other_widths_is_refused_by_name(tiny, runner):
    adapter = tiny.adapters["all linear, r=4"]
    narrow = {key: (a[:, :-1], b) for key, (a, b) in adapter.factors.items()}
    with pytest.raises(BrokenAdapter, match=r"does not fit this base at \w+_proj of layer"):
        runner.prepare(replace(adapter, factors=narrow))
    deep = {(layer + 2, site): pair for (layer, site), pair in adapter.factors.items()}
    with pytest.raises(BrokenAdapter, match=r"of layer [23]"):
        runner.prepare(replace(adapter, factors=deep))


def test_an_adapter_comes_in_the_models_precision(tiny):
    model = Llama(tiny.model.config, tiny.reference.state_dict(), torch.bfloat16)
    prepared = TorchRunner(model, SETTINGS).prepare(tiny.adapters["r=2 on q and v"])
    assert {factor.dtype for pair in prepared.factors.values() for factor in pair} == {torch.bfloat16}


def test_release_leaves_nothing_behind(tiny, runner):
    runner.run([chunk(tiny, i, name, prompt(i, 6)) for i, name in enumerate(NAMES)])
    assert (runner.sequences, runner.adapters) == (len(NAMES), len(NAMES) - 1)
    for i in range(len(NAMES)):
        runner.release(SequenceId(i))
        runner.release(SequenceId(i))
    assert (runner.sequences, runner.adapters) == (0, 0)


def test_bf16_stays_near_float32(tiny):
    """Packed weights, batched attention and stacked factors in bf16, against the plain float32 forward."""
    model = Llama(tiny.model.config, tiny.reference.state_dict(), torch.bfloat16)
    runner = TorchRunner(model, SETTINGS)
    adapters = [runner.prepare(tiny.adapters[name]) if name else None for name in NAMES]
    prompts = [prompt(i, 6) for i in range(len(NAMES))]

    def run(start, tokens_of):
        return runner.run(
            [
                Chunk(SequenceId(i), tuple(tokens), start, adapter, Logits.LAST)
                for i, (adapter, tokens) in enumerate(zip(adapters, tokens_of, strict=True))
            ]
        )

    run(0, prompts)
    for name, p, row in zip(NAMES, prompts, run(6, [[7]] * len(NAMES)), strict=True):
        wanted = tiny.logprobs(name, [*p, 7])[-1]
        assert (row.log_softmax(-1) - wanted).abs().max() < 0.05 * (wanted.max() - wanted.min())
