"""The engine's promises, whatever is asked of it and in whatever order."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chiliad.adapters import AdapterHash
from chiliad.config import EngineSettings
from chiliad.engine import Aborted, AbortReason, Delta, Failed, Finished
from chiliad.engine.core import EngineCore
from chiliad.engine.runner import SequenceId
from chiliad.engine.torch_runner import TorchRunner
from tests.engine.tiny import END, EXPERTS, Tiny, prompt, request

SETTINGS = EngineSettings(batch_max=4, context_max=64, prefill_tokens_max=16, queue_max=64, adapter_cache_bytes=9_000)
NAMES = [None, *EXPERTS]
CHOICES = ((5, 6, 0), (5, 7, 8, 9, 0), (11, 0))


def engine_core(tiny, make_runner, clock=lambda: 0.0):
    runner = make_runner(SETTINGS)
    return EngineCore(runner, tiny.tokenizer, tiny.load, SETTINGS, clock), runner


def adapters_of(runner):
    """Distinct adapters that a runner holds; the native one holds none, they come with the chunks."""
    return runner.adapters if isinstance(runner, TorchRunner) else 0


def draw_request(data, tiny):
    seed = data.draw(st.integers(0, 3), label="prompt")
    length = data.draw(st.integers(1, 40), label="length")
    expert = data.draw(st.sampled_from([*NAMES, "missing"]), label="expert")
    options = data.draw(
        st.fixed_dictionaries(
            {"max_tokens": st.integers(0, 6), "temperature": st.sampled_from([0.0, 1.0])},
            optional={
                "choices": st.just(CHOICES),
                "logprobs": st.integers(0, 2),
                "prompt_logprobs": st.integers(0, 2),
                "stop": st.sampled_from([("a",), ("e", "th")]),
                "top_p": st.just(0.8),
            },
        ),
        label="options",
    )
    adapter = AdapterHash("missing") if expert == "missing" else tiny.hash(expert)
    return request(prompt(seed, length), adapter, eos_ids=END, seed=seed, **options)


class EngineMachine(RuleBasedStateMachine):
    """Every request ends once; nothing leaks; what was answered in company is answered the same alone."""

    tiny: Tiny
    make_runner: staticmethod

    def __init__(self):
        super().__init__()
        self.core, self.runner = engine_core(self.tiny, self.make_runner)
        self.requests, self.events, self.cancelled = [], [], set()

    @rule(data=st.data())
    def add(self, data):
        asked = draw_request(data, self.tiny)
        self.events.append([])
        self.core.add(SequenceId(len(self.requests)), asked, self.events[-1].append)
        self.requests.append(asked)

    @rule(steps=st.integers(1, 4))
    def step(self, steps):
        for _ in range(steps):
            self.core.step()

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def cancel(self, data):
        number = data.draw(st.integers(0, len(self.requests) - 1), label="number")
        self.core.cancel(SequenceId(number))
        self.cancelled.add(number)

    @invariant()
    def no_more_than_the_batch_runs(self):
        assert self.runner.sequences <= SETTINGS.batch_max
        assert adapters_of(self.runner) <= self.runner.sequences

    @invariant()
    def at_most_one_end_and_it_is_the_last(self):
        for events in self.events:
            assert all(isinstance(event, Delta) for event in events[:-1])

    def teardown(self):
        for _ in range(2000):
            if self.core.idle:
                break
            self.core.step()
        assert self.core.idle
        assert (self.runner.sequences, adapters_of(self.runner)) == (0, 0)
        for number, (asked, events) in enumerate(zip(self.requests, self.events, strict=True)):
            self.check_end(number, asked, events[-1])

    def check_end(self, number, asked, last):
        if asked.adapter == "missing":
            assert isinstance(last, Failed) or number in self.cancelled
        elif last == Aborted(AbortReason.CANCELLED):
            assert number in self.cancelled
        else:
            assert isinstance(last, Finished)
            assert last.completion.tokens == alone(self.tiny, self.make_runner, asked).tokens


def alone(tiny, make_runner, asked):
    core, runner = engine_core(tiny, make_runner)
    events = []
    core.add(SequenceId(0), asked, events.append)
    while not core.idle:
        core.step()
    assert runner.sequences == 0
    return events[-1].completion


def test_any_order_of_adding_stepping_and_cancelling(tiny, make_runner):
    machine = type("Machine", (EngineMachine,), {"tiny": tiny, "make_runner": staticmethod(make_runner)})
    checked = settings(
        max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    case = machine.TestCase
    case.settings = checked
    case("runTest").debug()


def test_first_come_first_served_with_one_place(tiny, make_runner):
    """A, B, A, A, ... with room for one adapter: B has its turn second."""
    small = EngineSettings(batch_max=1, context_max=64, prefill_tokens_max=16, queue_max=64, adapter_cache_bytes=1)
    core = EngineCore(make_runner(small), tiny.tokenizer, tiny.load, small, lambda: 0.0)
    order = []
    for number, name in enumerate([NAMES[1], NAMES[3], NAMES[1], NAMES[1]]):
        asked = request([5, 6, 7], tiny.hash(name), max_tokens=2)
        core.add(SequenceId(number), asked, lambda event, number=number: order.append((number, type(event))))
    while not core.idle:
        core.step()
    assert [number for number, kind in order if kind is Finished] == [0, 1, 2, 3]


def test_an_adapter_without_room_waits_until_one_is_given_back(tiny):
    """The cache holds less than one adapter: a second kind is admitted only when the first is done."""
    tight = EngineSettings(batch_max=4, context_max=64, prefill_tokens_max=64, queue_max=64, adapter_cache_bytes=1)
    runner = TorchRunner(tiny.model, tight)
    core = EngineCore(runner, tiny.tokenizer, tiny.load, tight, lambda: 0.0)
    events = [[], []]
    for number, name in enumerate((NAMES[1], NAMES[3])):
        core.add(SequenceId(number), request([5, 6, 7], tiny.hash(name), max_tokens=3), events[number].append)
    while not core.idle:
        core.step()
        assert runner.adapters <= 1
    assert all(isinstance(one[-1], Finished) for one in events)


def test_an_adapter_replaced_under_the_same_name_is_another_adapter(tiny):
    """Hashes, not names: the second answer comes from the second file."""
    core, _ = engine_core(tiny, partial(TorchRunner, tiny.model))
    answers = []
    for number, name in enumerate(("all linear, r=4", "another of the same shape")):
        asked = request([9, 8, 7], tiny.hash(name), max_tokens=5, id_="tickets")
        core.add(SequenceId(number), asked, answers.append)
        while not core.idle:
            core.step()
    got = [event.completion.tokens for event in answers if isinstance(event, Finished)]
    assert got == [tiny.answer(name, [9, 8, 7], 5) for name in ("all linear, r=4", "another of the same shape")]
    assert got[0] != got[1]


def answers_in_turn(core, asked):
    """Completions of requests that run one after the other."""
    events = []
    for number, one in enumerate(asked):
        core.add(SequenceId(number), one, events.append)
        while not core.idle:
            core.step()
    return [event.completion for event in events if isinstance(event, Finished)]


def test_a_prompt_that_begins_as_an_earlier_one_is_not_run_again(tiny, make_runner):
    """Blocks hold 32 tokens; another adapter shares nothing; log-probabilities of the prompt need all of it."""
    runner = make_runner(SETTINGS)
    core = EngineCore(runner, tiny.tokenizer, tiny.load, SETTINGS, lambda: 0.0)
    adapter, other = tiny.hash(NAMES[1]), tiny.hash(NAMES[2])
    tokens = prompt(3, 50)
    asked = [
        request(tokens, adapter, max_tokens=5),
        request(tokens, adapter, max_tokens=5),
        request([*tokens[:40], 9], adapter, max_tokens=5),
        request(tokens, other, max_tokens=5),
        request(tokens, adapter, max_tokens=5, prompt_logprobs=0),
    ]
    got = answers_in_turn(core, asked)
    known = 0 if isinstance(runner, TorchRunner) else 32
    assert [one.cached_tokens for one in got] == [0, known, known, 0, 0]
    assert got[0].tokens == got[1].tokens == got[4].tokens
    assert got[2].tokens == alone(tiny, make_runner, asked[2]).tokens
    assert got[3].tokens == alone(tiny, make_runner, asked[3]).tokens


def test_nothing_is_kept_for_later_prompts_when_that_is_switched_off(tiny, make_runner):
    off = replace(SETTINGS, prefix_cache_bytes=0)
    core = EngineCore(make_runner(off), tiny.tokenizer, tiny.load, off, lambda: 0.0)
    same = request(prompt(3, 50), None, max_tokens=2)
    assert [one.cached_tokens for one in answers_in_turn(core, [same, same])] == [0, 0]
