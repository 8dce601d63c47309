"""The engine's promises, whatever is asked of it and in whatever order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chiliad.adapters import AdapterHash, LoadedAdapter
from chiliad.config import EngineSettings
from chiliad.engine import Aborted, AbortReason, Delta, Failed, Finished
from chiliad.engine.core import EngineCore
from chiliad.engine.runner import SequenceId
from chiliad.engine.torch_runner import TorchRunner
from chiliad.errors import BrokenAdapter, DeadlinePassed
from tests.engine.loaders import AtOnce, WhenTold, nobody
from tests.engine.tiny import END, EXPERTS, NAMES, Tiny, broken, prompt, request

KV_BYTES = 2 * 64 * 2 * 2 * 2 * 8 * 4
"""keys and values of the two whole contexts that four sequences share, in float32"""
SETTINGS = EngineSettings(
    batch_max=4,
    context_max=64,
    prefill_tokens_max=16,
    queue_max=64,
    adapter_cache_bytes=9_000,
    kv_cache_bytes=KV_BYTES,
)
MISSING, BROKEN = AdapterHash("missing"), AdapterHash("broken")
CHOICES = ((5, 6, 0), (5, 7, 8, 9, 0), (11, 0))


def engine_core(tiny, runner, settings=SETTINGS, *, load=None, clock=lambda: 0.0, loader=None):
    return EngineCore(runner, tiny.tokenizer, load or tiny.load, settings, clock, loader or AtOnce(), nobody)


def adapters_of(runner):
    """Distinct adapters that a runner holds; the native one holds none, they come with the chunks."""
    return runner.adapters if isinstance(runner, TorchRunner) else 0


def draw_request(data, tiny, names):
    """For an expert by what its name means now, for the base, or for something that cannot be served."""
    seed = data.draw(st.integers(0, 3), label="prompt")
    length = data.draw(st.integers(1, 40), label="length")
    expert = data.draw(st.sampled_from([None, *EXPERTS, *names, *names, MISSING, BROKEN]), label="expert")
    options = data.draw(
        st.fixed_dictionaries(
            {"max_tokens": st.integers(0, 24), "temperature": st.sampled_from([0.0, 1.0])},
            optional={
                "deadline_s": st.integers(1, 20).map(float),
                "priority": st.integers(-1, 1),
                "share": st.sampled_from(["a", "b"]),
                "choices": st.just(CHOICES),
                "logprobs": st.integers(0, 2),
                "prompt_logprobs": st.integers(0, 2),
                "stop": st.sampled_from([("a",), ("e", "th")]),
                "top_p": st.just(0.8),
            },
        ),
        label="options",
    )
    adapter = expert if expert in (MISSING, BROKEN) else tiny.hash(names.get(expert, expert))
    return request(prompt(seed, length), adapter, eos_ids=END, seed=seed, **options)


class EngineMachine(RuleBasedStateMachine):
    """Every request ends once; nothing leaks; what was answered in company is answered the same alone.

    Memory holds two of the four sequences at their longest, and the cache two or three of the five adapters: sequences are
    sent back and adapters dropped all the time. An adapter arrives when the machine says so; a name is given another adapter
    while requests for the old one are under way.
    """

    tiny: Tiny
    make_runner: staticmethod

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.loader = WhenTold()
        self.runner = self.make_runner(SETTINGS)
        self.core = engine_core(self.tiny, self.runner, load=self.load, clock=lambda: self.now, loader=self.loader)
        self.requests, self.events, self.cancelled = [], [], set()
        self.names = dict.fromkeys(("tickets", "orders"), NAMES[1])

    def load(self, adapter):
        if adapter == BROKEN:
            return LoadedAdapter(broken(self.tiny.adapters[NAMES[1]]))
        return self.tiny.load(adapter)

    @rule(data=st.data())
    def add(self, data):
        asked = draw_request(data, self.tiny, self.names)
        self.events.append([])
        self.core.add(self.core.sequence(SequenceId(len(self.requests)), asked, self.events[-1].append))
        self.requests.append(asked)

    @rule(name=st.sampled_from(("tickets", "orders")), expert=st.sampled_from(list(EXPERTS)))
    def replace(self, name, expert):
        self.names[name] = expert

    @rule(steps=st.integers(1, 4))
    def step(self, steps):
        for _ in range(steps):
            self.core.step()

    @rule()
    def an_adapter_arrives(self):
        self.loader.run_next()

    @rule(seconds=st.integers(1, 9))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def cancel(self, data):
        number = data.draw(st.integers(0, len(self.requests) - 1), label="number")
        self.core.cancel(SequenceId(number))
        self.cancelled.add(number)

    @invariant()
    def no_more_than_the_batch_runs_in_the_memory_there_is(self):
        assert self.runner.sequences <= SETTINGS.batch_max
        assert adapters_of(self.runner) <= self.runner.sequences
        assert self.runner.tokens_free >= 0
        assert len(self.core.pool) <= SETTINGS.batch_max

    @invariant()
    def at_most_one_end_and_it_is_the_last(self):
        for events in self.events:
            assert all(isinstance(event, Delta) for event in events[:-1])

    def teardown(self):
        for _ in range(3000):
            if self.core.idle:
                break
            if not self.core.can_step:
                self.loader.run_next()
            self.core.step()
        assert self.core.idle
        assert (self.runner.sequences, adapters_of(self.runner)) == (0, 0)
        assert (len(self.core.pool), self.core.pool.bytes_held) == (0, 0)
        assert self.core.pool.bytes_idle <= SETTINGS.adapter_cache_bytes
        assert self.core.waiting == 0
        for number, (asked, events) in enumerate(zip(self.requests, self.events, strict=True)):
            self.check_end(number, asked, events)

    def check_end(self, number, asked, events):
        last = events[-1]
        if last == Aborted(AbortReason.CANCELLED):
            assert number in self.cancelled
        elif isinstance(last, Failed) and isinstance(last.error, DeadlinePassed):
            assert asked.deadline_s <= self.now
        elif asked.adapter in (MISSING, BROKEN):
            assert isinstance(last.error, BrokenAdapter)
        else:
            assert isinstance(last, Finished)
            assert last.completion.tokens == alone(self.tiny, self.make_runner, asked).tokens
            assert last.completion.tokens == tuple(token for event in events[:-1] for token in event.tokens)


def alone(tiny, make_runner, asked):
    runner = make_runner(EngineSettings(context_max=64))
    core = engine_core(tiny, runner)
    events = []
    core.add(core.sequence(SequenceId(0), replace(asked, deadline_s=None), events.append))
    while not core.idle:
        core.step()
    assert runner.sequences == 0
    return events[-1].completion


def test_any_order_of_adding_stepping_cancelling_loading_and_replacing(tiny, make_runner):
    machine = type("Machine", (EngineMachine,), {"tiny": tiny, "make_runner": staticmethod(make_runner)})
    checked = settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    case = machine.TestCase
    case.settings = checked
    case("runTest").debug()


def test_first_come_first_served_with_one_place(tiny, make_runner):
    """A, B, A, A, ... with room for one adapter: B has its turn second."""
    small = EngineSettings(batch_max=1, context_max=64, prefill_tokens_max=16, queue_max=64, adapter_cache_bytes=1)
    core = engine_core(tiny, make_runner(small), small)
    order = []
    for number, name in enumerate([NAMES[1], NAMES[3], NAMES[1], NAMES[1]]):
        asked = request([5, 6, 7], tiny.hash(name), max_tokens=2)
        core.add(
            core.sequence(SequenceId(number), asked, lambda event, number=number: order.append((number, type(event))))
        )
    while not core.idle:
        core.step()
    assert [number for number, kind in order if kind is Finished] == [0, 1, 2, 3]


def test_an_adapter_without_room_waits_until_one_is_given_back(tiny):
    """The cache holds less than one adapter: a second kind is admitted only when the first is done."""
    tight = EngineSettings(batch_max=4, context_max=64, prefill_tokens_max=64, queue_max=64, adapter_cache_bytes=1)
    runner = TorchRunner(tiny.model, tight)
    core = engine_core(tiny, runner, tight)
    events = [[], []]
    for number, name in enumerate((NAMES[1], NAMES[3])):
        core.add(
            core.sequence(SequenceId(number), request([5, 6, 7], tiny.hash(name), max_tokens=3), events[number].append)
        )
    while not core.idle:
        core.step()
        assert runner.adapters <= 1
    assert all(isinstance(one[-1], Finished) for one in events)


def test_an_adapter_replaced_under_the_same_name_is_another_adapter(tiny):
    """Hashes, not names: the second answer comes from the second file."""
    core = engine_core(tiny, TorchRunner(tiny.model, SETTINGS))
    answers = []
    for number, name in enumerate(("all linear, r=4", "another of the same shape")):
        asked = request([9, 8, 7], tiny.hash(name), max_tokens=5, id_="tickets")
        core.add(core.sequence(SequenceId(number), asked, answers.append))
        while not core.idle:
            core.step()
    got = [event.completion.tokens for event in answers if isinstance(event, Finished)]
    assert got == [tiny.answer(name, [9, 8, 7], 5) for name in ("all linear, r=4", "another of the same shape")]
    assert got[0] != got[1]


def answers_in_turn(core, asked):
    """Completions of requests that run one after the other."""
    events = []
    for number, one in enumerate(asked):
        core.add(core.sequence(SequenceId(number), one, events.append))
        while not core.idle:
            core.step()
    return [event.completion for event in events if isinstance(event, Finished)]


def test_a_prompt_that_begins_as_an_earlier_one_is_not_run_again(tiny, make_runner):
    """Blocks hold 32 tokens; another adapter shares nothing; log-probabilities of the prompt need all of it."""
    runner = make_runner(SETTINGS)
    core = engine_core(tiny, runner)
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
    core = engine_core(tiny, make_runner(off), off)
    same = request(prompt(3, 50), None, max_tokens=2)
    assert [one.cached_tokens for one in answers_in_turn(core, [same, same])] == [0, 0]
