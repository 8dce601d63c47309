"""The engine from outside: submit, events, cancel, generate, close."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from chiliad.adapters import AdapterHash, LoadedAdapter
from chiliad.engine import Aborted, AbortReason, Delta, Engine, Failed, Finished, FinishReason
from chiliad.errors import BadRequest, BrokenAdapter, DeadlinePassed, EngineError, Overloaded, PromptTooLong
from tests.engine.tiny import END, NAMES, SETTINGS, broken, prompt, request


@pytest.fixture
def engine(tiny):
    with Engine(tiny.model, tiny.tokenizer, tiny.load, SETTINGS) as running:
        yield running


@pytest.fixture(params=["PyTorch", "native"])
def any_engine(tiny, request):
    """Either runner: the native one takes bfloat16, PyTorch computes in float32."""
    model = tiny.model if request.param == "PyTorch" else tiny.bf16
    with Engine(model, tiny.tokenizer, tiny.load, SETTINGS) as running:
        yield running


class Listener:
    """Collects one request's events and waits for the last."""

    def __init__(self, on_delta: Callable[[], None] | None = None) -> None:
        self.events = []
        self.ended = threading.Event()
        self._on_delta = on_delta

    def __call__(self, event):
        self.events.append(event)
        if not isinstance(event, Delta):
            self.ended.set()
        elif self._on_delta:
            self._on_delta()

    def last(self):
        assert self.ended.wait(30)
        assert [isinstance(event, Delta) for event in self.events] == [True] * (len(self.events) - 1) + [False]
        return self.events[-1]

    def completion(self):
        event = self.last()
        assert isinstance(event, Finished), event
        return event.completion


def test_mixed_experts_answer_as_transformers_and_peft_do(tiny, engine):
    """Greedy tokens in float32: 24 requests, six kinds of expert, more than the batch and a prefill step hold."""
    work = [(NAMES[i % len(NAMES)], prompt(i, 3 + 5 * i % 41)) for i in range(24)]
    requests = [request(p, tiny.hash(name), id_=str(i), max_tokens=8) for i, (name, p) in enumerate(work)]
    completions = engine.generate(requests)
    assert [completion.request for completion in completions] == [str(i) for i in range(24)]
    for (name, p), completion in zip(work, completions, strict=True):
        assert completion.tokens == tiny.answer(name, p, 8)
        assert completion.finish_reason is FinishReason.LENGTH
        assert completion.prompt_tokens == len(p)


def test_alone_is_as_in_company(tiny, any_engine):
    options = {"max_tokens": 12, "temperature": 1.3, "top_p": 0.9, "seed": 5, "logprobs": 2}
    one = request(prompt(1, 9), tiny.hash("r=2 on q and v"), **options)
    (alone,) = any_engine.generate([one])
    others = [
        request(prompt(i, 5 + i), tiny.hash(NAMES[i % len(NAMES)]), max_tokens=10, temperature=1.0) for i in range(12)
    ]
    company = any_engine.generate([*others[:5], one, *others[5:]])[5]
    assert company.tokens == alone.tokens
    assert company.text == alone.text
    for a, b in zip(alone.logprobs, company.logprobs, strict=True):
        assert a.token == b.token
        assert a.logprob == pytest.approx(b.logprob, abs=1e-4)


def test_deltas_join_to_the_completion(any_engine):
    listener = Listener()
    any_engine.submit(request(prompt(3, 6), max_tokens=20, temperature=1.0, seed=1, logprobs=0), listener)
    completion = listener.completion()
    deltas = listener.events[:-1]
    assert "".join(delta.text for delta in deltas) == completion.text
    assert tuple(token for delta in deltas for token in delta.tokens) == completion.tokens
    assert tuple(one for delta in deltas for one in delta.logprobs) == completion.logprobs
    assert 0 <= completion.timing.queue_s <= completion.timing.first_token_s <= completion.timing.total_s


def test_an_end_token_ends_and_is_not_shown(tiny, engine):
    greedy = tiny.answer(None, prompt(2, 7), 4)
    (completion,) = engine.generate([request(prompt(2, 7), max_tokens=9, eos_ids=END | {greedy[2]})])
    first = 1 + greedy[:3].index(greedy[2])
    assert completion.tokens == greedy[:first]
    assert completion.finish_reason is FinishReason.STOP
    assert completion.text == tiny.tokenizer.decode(greedy[: first - 1])


def test_a_stop_string_ends_and_is_cut_off(any_engine):
    plain = request(prompt(4, 6), max_tokens=30, temperature=1.2, seed=3)
    (whole,) = any_engine.generate([plain])
    stop = next(
        whole.text[i : i + 2]
        for i in range(6, len(whole.text))
        if "\N{REPLACEMENT CHARACTER}" not in whole.text[i : i + 2]
    )
    listener = Listener()
    any_engine.submit(replace(plain, sampling=replace(plain.sampling, stop=("never to be found", stop))), listener)
    completion = listener.completion()
    assert completion.text == whole.text[: whole.text.index(stop)]
    assert completion.finish_reason is FinishReason.STOP
    assert "".join(event.text for event in listener.events[:-1]) == completion.text


def test_a_closed_set_allows_only_its_answers(tiny, any_engine):
    words = ("refund", "refuse", "card lost", "café")
    choices = tuple((*tiny.tokenizer.encode(word), 0) for word in words)
    requests = [
        request(prompt(i, 5), tiny.hash(NAMES[i % len(NAMES)]), choices=choices, eos_ids=END, temperature=t, **more)
        for i, (t, more) in enumerate([(0.0, {}), (1.5, {}), (0.0, {"logprobs": 0}), (1.5, {"logprobs": 1}), (3.0, {})])
    ]
    for completion in any_engine.generate(requests):
        assert completion.text in words
        assert completion.finish_reason is FinishReason.STOP
        if completion.logprobs is not None:
            assert [one.token for one in completion.logprobs] == list(completion.tokens)


def test_forced_tokens_are_the_ones_that_computing_gives(tiny, any_engine):
    """Where the set leaves no choice the engine does not compute; asking for log-probabilities makes it."""
    choices = tuple((*tiny.tokenizer.encode(word), 0) for word in ("abcd-x1", "abcd-y2", "zz"))
    plain = [request(prompt(i, 6), tiny.hash(NAMES[i]), choices=choices, eos_ids=END) for i in range(6)]
    computed = [replace(one, sampling=replace(one.sampling, logprobs=0)) for one in plain]
    assert [c.text for c in any_engine.generate(plain)] == [c.text for c in any_engine.generate(computed)]


def test_prompt_logprobs_are_those_of_transformers(tiny, engine):
    p = prompt(6, 40)
    name = "all linear, r=4"
    scored = request(p, tiny.hash(name), prompt_logprobs=3, max_tokens=0)
    (completion, other) = engine.generate([scored, request(prompt(7, 30), max_tokens=3)])
    wanted = tiny.logprobs(name, p)
    assert completion.tokens == ()
    assert completion.finish_reason is FinishReason.LENGTH
    assert completion.prompt_logprobs[0] is None
    for i, one in enumerate(completion.prompt_logprobs[1:]):
        assert one.token == p[i + 1]
        assert one.logprob == pytest.approx(float(wanted[i, p[i + 1]]), abs=3e-4)
        assert [token for token, _ in one.top] == wanted[i].topk(3).indices.tolist()
    assert other.prompt_logprobs is None


def test_logprobs_are_of_the_models_own_distribution(tiny, engine):
    p = prompt(8, 5)
    (completion,) = engine.generate([request(p, max_tokens=3, temperature=2.0, seed=1, top_k=4, logprobs=2)])
    wanted = tiny.logprobs(None, [*p, *completion.tokens])
    for i, one in enumerate(completion.logprobs):
        assert one.logprob == pytest.approx(float(wanted[len(p) - 1 + i, one.token]), abs=3e-4)
        assert len(one.top) == 2


def test_a_broken_adapter_ends_only_its_own_request(tiny):
    bad = broken(tiny.adapters["all linear, r=4"])

    def load(adapter):
        if adapter == "unreadable":
            raise OSError("the disk is gone")
        return LoadedAdapter(bad) if adapter == bad.hash else tiny.load(adapter)

    with Engine(tiny.model, tiny.tokenizer, load, SETTINGS) as engine:
        listeners = [Listener() for _ in range(4)]
        adapters = [bad.hash, tiny.hash("r=2 on q and v"), AdapterHash("unreadable"), None]
        for adapter, listener in zip(adapters, listeners, strict=True):
            engine.submit(request(prompt(1, 8), adapter, max_tokens=6), listener)
        for listener in (listeners[0], listeners[2]):
            assert isinstance(listener.last(), Failed)
            assert isinstance(listener.last().error, BrokenAdapter)
        assert listeners[1].completion().tokens == tiny.answer("r=2 on q and v", prompt(1, 8), 6)
        assert listeners[3].completion().tokens == tiny.answer(None, prompt(1, 8), 6)


def test_cancelling_ends_with_one_event(any_engine):
    started, kept = threading.Event(), Listener()
    cancelled = Listener(on_delta=started.set)
    handle = any_engine.submit(request(prompt(1, 5), max_tokens=90), cancelled)
    any_engine.submit(request(prompt(2, 5), max_tokens=40), kept)
    assert started.wait(30)
    handle.cancel()
    handle.cancel()
    assert cancelled.last() == Aborted(AbortReason.CANCELLED)
    assert len(kept.completion().tokens) == 40
    assert len([event for event in cancelled.events if not isinstance(event, Delta)]) == 1


def test_a_deadline_ends_a_waiting_and_a_running_request(tiny):
    now = [0.0]
    with Engine(tiny.model, tiny.tokenizer, tiny.load, SETTINGS, clock=lambda: now[0]) as engine:
        listener = Listener(on_delta=lambda: now.__setitem__(0, 11.0))
        engine.submit(request(prompt(1, 5), max_tokens=80, deadline_s=10.0), listener)
        assert isinstance(listener.last().error, DeadlinePassed)
        late = Listener()
        engine.submit(request(prompt(1, 5), deadline_s=10.0, max_tokens=80), late)
        assert isinstance(late.last().error, DeadlinePassed)
        assert len(late.events) == 1


@pytest.fixture
def slow(tiny):
    """Reading one adapter takes until the test says so; the others come at once."""
    hold, entered, cold = threading.Event(), threading.Event(), tiny.hash("r=2 on q and v")

    def load(adapter):
        if adapter == cold:
            entered.set()
            assert hold.wait(30)
        return tiny.load(adapter)

    yield SimpleNamespace(load=load, cold=cold, hold=hold, entered=entered)
    hold.set()


def test_a_deadline_passes_also_while_an_adapter_is_being_read(tiny, slow):
    with Engine(tiny.model, tiny.tokenizer, slow.load, SETTINGS) as engine:
        listener = Listener()
        engine.submit(request(prompt(1, 5), slow.cold, max_tokens=3, deadline_s=time.monotonic() + 0.05), listener)
        assert isinstance(listener.last().error, DeadlinePassed)


def test_a_cold_expert_holds_up_nobody_else(tiny, slow):
    """While its file is being read, those that run go on and those whose adapters are here begin."""
    with Engine(tiny.model, tiny.tokenizer, slow.load, SETTINGS) as engine:
        running, cold, warm = Listener(), Listener(), Listener()
        engine.submit(request(prompt(1, 5), max_tokens=60), running)
        engine.submit(request(prompt(2, 5), slow.cold, max_tokens=3), cold)
        assert slow.entered.wait(30)
        engine.submit(request(prompt(3, 5), tiny.hash("all linear, r=4"), max_tokens=3), warm)
        assert len(running.completion().tokens) == 60
        assert not warm.ended.is_set() or warm.completion(), "its file is behind the cold one's"
        assert cold.events == []
        slow.hold.set()
        assert cold.completion().tokens == tiny.answer("r=2 on q and v", prompt(2, 5), 3)
        assert warm.completion().tokens == tiny.answer("all linear, r=4", prompt(3, 5), 3)


def test_closing_does_not_wait_for_a_file(tiny, slow):
    engine = Engine(tiny.model, tiny.tokenizer, slow.load, SETTINGS)
    listener = Listener()
    engine.submit(request(prompt(1, 5), slow.cold, max_tokens=3), listener)
    assert slow.entered.wait(30)
    engine.close()
    assert listener.last() == Aborted(AbortReason.CLOSED)


def test_a_full_queue_refuses_and_says_so(tiny, slow):
    with Engine(tiny.model, tiny.tokenizer, slow.load, replace(SETTINGS, queue_max=3, batch_max=1)) as engine:
        listeners = [Listener() for _ in range(4)]
        engine.submit(request(prompt(0, 4), slow.cold, max_tokens=1), listeners[0])
        assert slow.entered.wait(30)
        for listener in listeners[1:]:
            engine.submit(request(prompt(0, 4), slow.cold, max_tokens=1), listener)
        with pytest.raises(Overloaded, match="3 requests are waiting"):
            engine.submit(request(prompt(0, 4), max_tokens=1), Listener())
        slow.hold.set()
        assert all(isinstance(listener.last(), Finished) for listener in listeners)


def test_the_last_places_are_for_those_of_whom_nothing_waits(tiny, slow):
    with Engine(tiny.model, tiny.tokenizer, slow.load, replace(SETTINGS, queue_max=8, batch_max=1)) as engine:
        running, *listeners = [Listener() for _ in range(9)]
        engine.submit(request(prompt(0, 4), slow.cold, max_tokens=1, share="greedy"), running)
        assert slow.entered.wait(30)
        for listener in listeners[:6]:
            engine.submit(request(prompt(0, 4), slow.cold, max_tokens=1, share="greedy"), listener)
        with pytest.raises(Overloaded, match="6 requests are waiting"):
            engine.submit(request(prompt(0, 4), max_tokens=1, share="greedy"), Listener())
        engine.submit(request(prompt(0, 4), max_tokens=1, share="one"), listeners[6])
        with pytest.raises(Overloaded, match="7 requests are waiting"):
            engine.submit(request(prompt(0, 4), max_tokens=1, share="one"), Listener())
        engine.submit(request(prompt(0, 4), max_tokens=1, share="another"), listeners[7])
        with pytest.raises(Overloaded, match="8 requests are waiting"):
            engine.submit(request(prompt(0, 4), max_tokens=1, share="third"), Listener())
        slow.hold.set()
        assert all(isinstance(listener.last(), Finished) for listener in (running, *listeners))


def test_who_waits_for_a_place_hears_of_those_that_are_cancelled(tiny, slow, monkeypatch):
    full, placed, has_place = threading.Event(), threading.Event(), Engine._has_place

    def watched(engine, share):
        free = has_place(engine, share)
        (placed if free else full).set()
        return free

    with Engine(tiny.model, tiny.tokenizer, slow.load, replace(SETTINGS, queue_max=4, batch_max=1)) as engine:
        asked = request(prompt(0, 4), slow.cold, max_tokens=1)
        handles = [engine.submit(asked, lambda _: time.sleep(0.1))]  # meanwhile others can look for a place
        assert slow.entered.wait(30)
        handles += [engine.submit(asked, Listener()) for _ in range(3)]
        monkeypatch.setattr(Engine, "_has_place", watched)
        patient = threading.Thread(target=engine.generate, args=([request(prompt(1, 4), max_tokens=1)],))
        patient.start()
        assert full.wait(30)
        with engine._changed:  # all at once
            for handle in handles:
                handle.cancel()
        heard = placed.wait(20)  # before the reading of the adapter gives up
        slow.hold.set()
        patient.join(30)
    assert heard


def test_generate_takes_more_than_the_queue_holds_and_reports_progress(tiny):
    with Engine(tiny.model, tiny.tokenizer, tiny.load, replace(SETTINGS, queue_max=4)) as engine:
        seen = []
        requests = [request(prompt(i, 4), id_=str(i), max_tokens=1 + i % 3) for i in range(30)]
        completions = engine.generate(requests, lambda done, total: seen.append((done, total)))
        assert [len(completion.tokens) for completion in completions] == [1 + i % 3 for i in range(30)]
        assert seen == [(i + 1, 30) for i in range(30)]
        assert engine.generate([]) == []


def test_generate_raises_the_first_error_and_leaves_nothing_running(tiny, engine):
    missing = request(prompt(0, 4), AdapterHash("0" * 64), max_tokens=3)
    with pytest.raises(BrokenAdapter):
        engine.generate([request(prompt(1, 4), max_tokens=60), missing, request(prompt(1, 4), max_tokens=60)])
    (after,) = engine.generate([request(prompt(2, 4), max_tokens=2)])
    assert after.tokens == tiny.answer(None, prompt(2, 4), 2)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"prompt": []}, BadRequest),
        ({"prompt": [1, 258]}, BadRequest),
        ({"prompt": [-1]}, BadRequest),
        ({"prompt": [5] * 96, "max_tokens": 1}, PromptTooLong),
        ({"prompt": [5] * 10, "max_tokens": 87}, PromptTooLong),
        ({"prompt": [5], "choices": ((1, 2), (1,))}, BadRequest),
        ({"prompt": [5], "choices": ((1, 999),)}, BadRequest),
        ({"prompt": [5], "choices": ((),)}, BadRequest),
        ({"prompt": [5], "choices": ()}, BadRequest),
        ({"prompt": [5], "prompt_logprobs": 21}, BadRequest),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(engine, options, error):
    with pytest.raises(error):
        engine.submit(request(**{"max_tokens": 4, **options}), Listener())
    (after,) = engine.generate([request([5, 6], max_tokens=1)])
    assert len(after.tokens) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": -1},
        {"temperature": -0.1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"stop": ("",)},
        {"logprobs": 21},
    ],
)
def test_sampling_values_out_of_range_are_refused(options):
    with pytest.raises(BadRequest, match="out of range"):
        request([1], **options)


def test_closing_ends_everything_once(tiny):
    engine = Engine(tiny.model, tiny.tokenizer, tiny.load, SETTINGS)
    listeners = [Listener() for _ in range(12)]
    for listener in listeners:
        engine.submit(request(prompt(1, 5), max_tokens=90), listener)
    engine.close()
    engine.close()
    assert all(listener.last() == Aborted(AbortReason.CLOSED) for listener in listeners)
    with pytest.raises(Overloaded, match="closed"):
        engine.submit(request([1], max_tokens=1), Listener())


def test_a_callback_that_raises_ends_its_request_only(tiny, engine, caplog):
    calls = []

    def bad(event):
        calls.append(event)
        raise ValueError("mine")

    engine.submit(request(prompt(1, 5), max_tokens=9), bad)
    (good,) = engine.generate([request(prompt(1, 5), max_tokens=9)])
    assert good.tokens == tiny.answer(None, prompt(1, 5), 9)
    assert len(calls) == 1
    assert "callback" in caplog.text


def test_a_step_that_fails_ends_its_requests_and_the_engine_goes_on(tiny, engine, monkeypatch, caplog):
    hidden = type(tiny.model).hidden
    with monkeypatch.context() as patch:
        patch.setattr(type(tiny.model), "hidden", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
        listener = Listener()
        engine.submit(request(prompt(1, 5), tiny.hash("r=2 on q and v"), max_tokens=3), listener)
        assert isinstance(listener.last().error, EngineError)
    assert type(tiny.model).hidden is hidden
    (after,) = engine.generate([request(prompt(1, 5), tiny.hash("r=2 on q and v"), max_tokens=3)])
    assert after.tokens == tiny.answer("r=2 on q and v", prompt(1, 5), 3)


def test_many_threads_submit_at_once(tiny, engine):
    answers: SimpleQueue[tuple[int, tuple[int, ...]]] = SimpleQueue()

    def work(seed):
        (completion,) = engine.generate(
            [request(prompt(seed, 4 + seed), tiny.hash(NAMES[seed % len(NAMES)]), max_tokens=5)]
        )
        answers.put((seed, completion.tokens))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    got = dict(answers.get_nowait() for _ in range(12))
    assert got == {seed: tiny.answer(NAMES[seed % len(NAMES)], prompt(seed, 4 + seed), 5) for seed in range(12)}
