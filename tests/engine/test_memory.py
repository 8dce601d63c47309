"""Little memory, or none: who waits, who gives way, and that nobody else hears of it."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from chiliad.config import EngineSettings
from chiliad.engine import Delta, Engine, Failed, Finished
from chiliad.engine.runner import SequenceId
from chiliad.errors import EngineError
from tests.engine.test_core import engine_core
from tests.engine.tiny import prompt, request

SETTINGS = EngineSettings(batch_max=6, context_max=128, queue_max=64, prefix_cache_bytes=0, kv_cache_bytes=1)
"""memory for one whole context"""


def begun(core, requests):
    """Each request's events, which more steps add to."""
    events = [[] for _ in requests]
    for number, (asked, heard) in enumerate(zip(requests, events, strict=True)):
        core.add(core.sequence(SequenceId(number), asked, heard.append))
    return events


def order_of_ends(core, events):
    order = []
    while not core.idle:
        core.step()
        done = [i for i, heard in enumerate(events) if heard and not isinstance(heard[-1], Delta) and i not in order]
        assert all(isinstance(events[i][-1], Finished) for i in done)
        order += done
    return order


def test_what_does_not_fit_waits_and_nobody_overtakes_it(tiny, make_runner):
    settings = replace(SETTINGS)
    core = engine_core(tiny, make_runner(settings), settings)
    events = begun(core, [request(prompt(i, n), max_tokens=4) for i, n in enumerate((100, 110, 3, 3))])
    core.step()
    assert [len(heard) for heard in events] == [1, 0, 0, 0]
    assert order_of_ends(core, events) == [0, 1, 2, 3]


def test_the_youngest_of_the_lowest_priority_gives_way(tiny, make_runner):
    settings = replace(SETTINGS)
    core = engine_core(tiny, make_runner(settings), settings)
    kinds = [{"priority": 1}, {"priority": 0}, {"priority": 1}]
    events = begun(core, [request(prompt(i, 6), max_tokens=100, **kind) for i, kind in enumerate(kinds)])
    assert order_of_ends(core, events) == [0, 2, 1]
    assert all(len(heard[-1].completion.tokens) == 100 for heard in events)


def test_keys_and_values_take_no_more_than_their_share_however_answers_grow(tiny, make_runner):
    """Eight prompts of which five fit at their longest, through every length of a lane."""
    settings = replace(SETTINGS, batch_max=8, kv_cache_bytes=5 * 128 * 2 * 2 * 2 * 8 * 4)
    runner = make_runner(settings)
    core = engine_core(tiny, runner, settings)
    events = begun(core, [request(prompt(i, 20 + i), max_tokens=100) for i in range(8)])
    taken = 0
    while not core.idle:
        core.step()
        taken = max(taken, runner.kv_bytes)
    assert all(isinstance(heard[-1], Finished) for heard in events)
    assert 0 < taken <= settings.kv_cache_bytes


def test_a_machine_without_memory_fails_the_request_only(tiny):
    """The operating system refuses what the keys and values of the first request need; later there is some."""
    with Engine(tiny.bf16, tiny.tokenizer, tiny.load, EngineSettings(context_max=128)) as engine:
        asked = request(prompt(1, 20), max_tokens=3)
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + (16 << 20), hard))
        try:
            with pytest.raises(EngineError, match="memory for keys and values is full"):
                engine.generate([asked])
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        (completion,) = engine.generate([asked])
        assert len(completion.tokens) == 3


def _address_space():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def test_ten_thousand_requests_wait_their_turn(tiny):
    """Each of a share of its own; a queue of ten thousand costs each no more than one of ten."""
    settings = EngineSettings(batch_max=32, context_max=128, queue_max=10_000)
    with Engine(tiny.bf16, tiny.tokenizer, tiny.load, settings) as engine:
        heard = []
        for number in range(10_000):
            engine.submit(request([5, 6], share=str(number), max_tokens=1), heard.append)
        engine.generate([request([5, 6], share="last", max_tokens=1, priority=-1_000)])
    assert sum(isinstance(event, Finished) for event in heard) == 10_000
    assert not any(isinstance(event, Failed) for event in heard)
