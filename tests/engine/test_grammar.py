"""Answers that follow a grammar: what a mask holds, and what an engine with random weights writes under one."""

from __future__ import annotations

import json
import re
from queue import SimpleQueue
from threading import Event, Thread

import pytest
import torch

from chiliad.engine import ANY_JSON_OBJECT, Completion, Delta, Engine, FinishReason, Grammar, GrammarKind
from chiliad.engine.grammar import GRAMMARS_KEPT, Grammars, TokenMask
from chiliad.errors import BadRequest
from tests.engine.tiny import NAMES, SETTINGS, prompt, request

ORDER = Grammar(
    GrammarKind.JSON_SCHEMA,
    json.dumps(
        {
            "type": "object",
            "properties": {
                "item": {"enum": ["kettle", "grinder"]},
                "count": {"type": "integer", "minimum": 1, "maximum": 99},
                "gift": {"type": "boolean"},
            },
            "required": ["item", "count", "gift"],
            "additionalProperties": False,
        }
    ),
)
ENDLESS = Grammar(
    GrammarKind.JSON_SCHEMA, json.dumps({"allOf": [{"type": "string", "pattern": f".*{n}.*"} for n in range(30)]})
)
"""takes minutes and gigabytes to compile"""
PHONE = Grammar(GrammarKind.REGEX, r"[1-9][0-9]{2}-[0-9]{4}")
SUM = Grammar(GrammarKind.LARK, 'start: NUMBER ("+" NUMBER){1,3}\nNUMBER: /[0-9]{1,3}/')


@pytest.fixture
def engine(tiny):
    with Engine(tiny.model, tiny.tokenizer, tiny.load, SETTINGS) as engine:
        yield engine


def _asked(tiny, engine, grammar, count=6, **options) -> list[Completion]:
    options = {"max_tokens": 80, "eos_ids": tiny.tokenizer.eos_ids, **options}
    return engine.generate(
        [request(prompt(i, 5), tiny.hash(NAMES[i % len(NAMES)]), grammar=grammar, **options) for i in range(count)]
    )


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_json_schema_holds(tiny, engine, temperature):
    for done in _asked(tiny, engine, ORDER, temperature=temperature):
        answer = json.loads(done.text)
        assert done.finish_reason is FinishReason.STOP
        assert list(answer) == ["item", "count", "gift"]
        assert answer["item"] in {"kettle", "grinder"}
        assert 1 <= answer["count"] <= 99
        assert isinstance(answer["gift"], bool)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_regular_expression_and_a_lark_grammar_hold(tiny, engine, temperature):
    for done in _asked(tiny, engine, PHONE, temperature=temperature):
        assert re.fullmatch(PHONE.source, done.text)
    for done in _asked(tiny, engine, SUM, temperature=temperature):
        assert re.fullmatch(r"\d{1,3}(\+\d{1,3}){1,3}", done.text)


def test_what_the_grammar_forces_is_what_computing_gives(tiny, engine):
    quick = _asked(tiny, engine, ORDER)
    computed = _asked(tiny, engine, ORDER, logprobs=0)  # log-probabilities have every token computed
    assert [done.text for done in quick] == [done.text for done in computed]


def test_neighbours_without_a_grammar_are_not_touched(tiny, engine):
    plain = [request(prompt(i, 5), tiny.hash(NAMES[0]), max_tokens=8) for i in range(3)]
    alone = [done.tokens for done in engine.generate(plain)]
    constrained = request(prompt(9, 5), None, grammar=ORDER, max_tokens=60, eos_ids=tiny.tokenizer.eos_ids)
    assert [done.tokens for done in engine.generate([*plain, constrained])[:3]] == alone


def test_an_answer_that_is_cut_short_says_so(tiny, engine):
    (done,) = _asked(tiny, engine, ORDER, count=1, max_tokens=3)
    assert done.finish_reason is FinishReason.LENGTH
    assert len(done.tokens) == 3


def test_a_grammar_is_compiled_before_the_queue_and_never_again(tiny, engine, monkeypatch):
    """Also when so many others came in the meantime that it is no longer kept."""
    busy, go_on, ended = Event(), Event(), SimpleQueue()

    def hold_up_the_engine(event):
        busy.set()
        assert go_on.wait(30)

    def too_late(grammars, grammar):
        raise BadRequest("This machine has no time to compile it now.", fix="Never ask for that.")

    engine.submit(request([5], None, max_tokens=1), hold_up_the_engine)
    assert busy.wait(30)
    asked = request([5], None, grammar=PHONE, max_tokens=80, eos_ids=tiny.tokenizer.eos_ids)
    engine.submit(asked, ended.put)
    for number in range(GRAMMARS_KEPT):
        engine.compile(Grammar(GrammarKind.REGEX, f"{number}"))
    monkeypatch.setattr(Grammars, "_compile", too_late)
    go_on.set()
    while isinstance(event := ended.get(timeout=30), Delta):
        pass
    assert re.fullmatch(PHONE.source, event.completion.text)


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar(GrammarKind.JSON_SCHEMA, "{"),
        Grammar(GrammarKind.JSON_SCHEMA, '{"type": "nonsense"}'),
        Grammar(GrammarKind.REGEX, "(unclosed"),
        Grammar(GrammarKind.LARK, "start: missing"),
    ],
    ids=str,
)
def test_a_grammar_that_cannot_be_understood_is_refused_before_the_queue(tiny, engine, grammar):
    with pytest.raises(BadRequest, match="cannot be used"):
        engine.submit(request([5], None, grammar=grammar, max_tokens=8), print)


def test_choices_and_a_grammar_together_are_refused(engine):
    with pytest.raises(BadRequest, match="choices and a grammar"):
        engine.submit(request([5], None, grammar=PHONE, choices=((1, 0),)), print)


def test_a_compiled_grammar_serves_many_answers(tiny):
    grammars = Grammars(tiny.tokenizer)
    first, second = grammars.start(ANY_JSON_OBJECT), grammars.start(ANY_JSON_OBJECT)
    brace = next(token for token in tiny.tokenizer.encode("{") if token in first.allowed)
    first.take(brace)
    assert first.allowed != second.allowed
    assert brace in second.allowed


def test_patterns_that_take_for_ever_to_bring_together_are_refused(tiny):
    with pytest.raises(BadRequest, match="too complex"):
        Grammars(tiny.tokenizer).start(ENDLESS)


def test_patterns_that_do_not_meet_are_no_trouble(tiny):
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string", "pattern": f".*{n}.*"} for n in range(30)}}
    Grammars(tiny.tokenizer).start(Grammar(GrammarKind.JSON_SCHEMA, json.dumps(schema)))


def test_nobody_waits_for_the_grammar_of_another_request(tiny):
    grammars, refused = Grammars(tiny.tokenizer), []

    def wait_for_the_end():
        with pytest.raises(BadRequest):
            grammars.start(ENDLESS)
        refused.append(ENDLESS)

    grammars.start(SUM)
    other = Thread(target=wait_for_the_end)
    other.start()
    grammars.start(ANY_JSON_OBJECT)
    assert not refused, "the hard one was still being tried"
    other.join()
    assert refused


def test_a_mask_is_the_same_bit_by_bit_and_as_a_tensor():
    mask = TokenMask(bytes([0b00000101, 0b10000000]))
    assert [token for token in range(40) if token in mask] == [0, 2, 15]
    for vocab_size in (12, 16, 40):
        expected = torch.tensor([token not in mask for token in range(vocab_size)])
        assert torch.equal(mask.refused(vocab_size), expected)
