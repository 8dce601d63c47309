"""An answer's bits through the whole engine: the same alone, in company, in pieces, from the cache, after giving way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chiliad.config import EngineSettings, Precision
from chiliad.engine import Delta, Engine, Finished
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.runner import SequenceId
from chiliad.kernels import path_in_use
from tests.engine.test_core import engine_core
from tests.engine.tiny import NAMES, prompt, request

SETTINGS = EngineSettings(batch_max=64, context_max=128, queue_max=256, prefix_cache_bytes=0)
EXPERT = "all linear, r=4"


@pytest.fixture(params=Precision)
def base(tiny, request):
    if not NativeRunner.fits(tiny.bf16, SETTINGS):
        pytest.skip(f"computes with {path_in_use()}")
    return replace(SETTINGS, precision=request.param)


def one(tiny, seed=1, **options):
    sampling = {"max_tokens": 50, "temperature": 0.9, "seed": 7, "logprobs": 3, **options}
    return request(prompt(seed, 70), tiny.hash(EXPERT), **sampling)


def answers(tiny, settings, requests, threads=1):
    with Engine(tiny.bf16, tiny.tokenizer, tiny.load, settings, threads=threads) as engine:
        return [said(completion) for completion in engine.generate(requests)]


def said(completion):
    """All that must not change. Log-probabilities compare as floats do, to the bit."""
    return completion.text, completion.tokens, completion.logprobs, completion.prompt_logprobs


@pytest.fixture
def alone(tiny, base):
    (answer,) = answers(tiny, base, [one(tiny)])
    return answer


def test_among_63_others(tiny, base, alone):
    others = [request(prompt(i, 1 + 3 * i % 80), tiny.hash(NAMES[i % 6]), max_tokens=i % 40) for i in range(2, 65)]
    assert answers(tiny, base, [*others[:30], one(tiny), *others[30:]])[30] == alone


@pytest.mark.parametrize("threads", [1, 2])
def test_on_any_number_of_threads(tiny, base, alone, threads):
    assert answers(tiny, base, [one(tiny), one(tiny)], threads) == [alone, alone]


@pytest.mark.parametrize("tokens", [1, 7, 32, 69])
def test_whatever_pieces_the_prompt_comes_in(tiny, base, alone, tokens):
    assert answers(tiny, replace(base, prefill_tokens_max=tokens), [one(tiny)]) == [alone]


def test_with_its_prompts_log_probabilities(tiny, base, alone):
    """Computed in pieces of their own, with all logits."""
    scored = one(tiny, prompt_logprobs=1)
    whole, pieces = (answers(tiny, replace(base, prefill_tokens_max=n), [scored])[0] for n in (512, 9))
    assert whole == pieces
    assert whole[:3] == alone[:3]


def test_with_a_beginning_from_the_cache(tiny, base, alone):
    with Engine(tiny.bf16, tiny.tokenizer, tiny.load, replace(base, prefix_cache_bytes=1 << 20), threads=1) as engine:
        first, second = (engine.generate([one(tiny)])[0] for _ in range(2))
    assert (first.cached_tokens, second.cached_tokens) == (0, 64)
    assert [said(first), said(second)] == [alone, alone]


class Watched(NativeRunner):
    """Notes which sequences had to run tokens again."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ends, self.again = {}, set()

    def run(self, chunks):
        self.again |= {chunk.sequence for chunk in chunks if chunk.start < self.ends.get(chunk.sequence, 0)}
        self.ends |= {chunk.sequence: chunk.end for chunk in chunks}
        return super().run(chunks)


@pytest.mark.parametrize("cached", [0, 1])
@pytest.mark.parametrize("scored", [None, 0])
def test_after_giving_way_to_others(tiny, base, alone, cached, scored):
    """Two will need four blocks each, of six or seven: the youngest is sent back in the midst of its answer."""
    block = 2 * NativeRunner(tiny.bf16, base)._decoder.block_numbers
    short = replace(base, kv_cache_bytes=6 * block, prefix_cache_bytes=cached * block)
    runner = Watched(tiny.bf16, short)
    core = engine_core(tiny, runner, short)
    asked = [request(prompt(3, 60), max_tokens=60), one(tiny, prompt_logprobs=scored)]
    asked.append(replace(asked[0], priority=1))
    events = [[] for _ in asked]
    for number, (each, heard) in enumerate(zip(asked, events, strict=True)):
        core.add(core.sequence(SequenceId(number), each, heard.append))
        for _ in range(3):
            core.step()
    while not core.idle:
        core.step()
    assert 1 in runner.again
    assert all(isinstance(heard[-1], Finished) for heard in events)
    assert all(isinstance(event, Delta) for heard in events for event in heard[:-1])
    completion = events[1][-1].completion
    assert said(completion)[:3] == alone[:3]
    assert tuple(token for event in events[1][:-1] for token in event.tokens) == completion.tokens
    if scored is not None:
        assert said(completion) == answers(tiny, base, [asked[1]])[0]
    assert runner.tokens_free == 32 * (6 + cached)
