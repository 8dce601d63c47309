"""Activated LoRA against `transformers` and `peft`: what stands before an invocation is the base's, and shared with all."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig

from chiliad.adapters import load_adapter
from chiliad.engine import Engine, Failed, Finished
from chiliad.engine.runner import SequenceId
from chiliad.engine.torch_runner import TorchRunner
from chiliad.errors import BadRequest
from tests.engine.test_core import engine_core
from tests.engine.tiny import SETTINGS, prompt, request

ACTIVATED = {"invoked by 11 12": (11, 12), "invoked by 13 14 15": (13, 14, 15), "invoked by 11 12 too": (11, 12)}
FIRST, SECOND, THIRD = ACTIVATED
BLOCK = 32
"""tokens"""

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def activated(tiny, tmp_path_factory):
    """`tiny` with activated experts, as `peft` makes and saves them."""
    more = copy.copy(tiny)
    more.adapters, more.peft_models = dict(tiny.adapters), dict(tiny.peft_models)
    more.folder = tmp_path_factory.mktemp("activated")
    for name, tokens in ACTIVATED.items():
        options = {"r": 4, "target_modules": "all-linear", "alora_invocation_tokens": list(tokens)}
        more._add_expert(name, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options))
    return more


def invoking(name, before, after, seed=0):
    return [*prompt(seed, before), *ACTIVATED[name], *prompt(seed + 1, after)]


PROMPTS = {
    "in the middle": invoking(FIRST, 9, 6),
    "first of all": invoking(SECOND, 0, 9),
    "last of all": invoking(SECOND, 20, 0),
    "behind a whole piece": invoking(FIRST, 50, 3),
    "in the second piece": invoking(FIRST, 33, 8),
    "twice, of which the last counts": [*invoking(FIRST, 5, 7), *invoking(FIRST, 6, 4, seed=5)],
    "across two blocks": invoking(SECOND, BLOCK - 1, 4),
}


def expert_for(tokens):
    return SECOND if 13 in tokens else FIRST


def test_the_engine_answers_as_peft_does_among_others(activated):
    """Greedy tokens in float32, and log-probabilities of prompts, beside LoRA that always act and the base."""
    asked = [(expert_for(tokens), tokens) for tokens in PROMPTS.values()]
    asked += [(None, prompt(1, 30)), ("all linear, r=4", PROMPTS["in the middle"]), (THIRD, PROMPTS["in the middle"])]
    requests = [
        request(tokens, activated.hash(name), max_tokens=6, prompt_logprobs=scored)
        for scored in (None, 0)
        for name, tokens in asked
    ]
    with Engine(activated.model, activated.tokenizer, activated.load, SETTINGS) as engine:
        done = engine.generate(requests)
    for (name, tokens), plain, scored in zip(asked, done[: len(asked)], done[len(asked) :], strict=True):
        assert plain.tokens == scored.tokens == activated.answer(name, tokens, 6)
        wanted = activated.logprobs(name, tokens)[range(len(tokens) - 1), tokens[1:]]
        got = torch.tensor([one.logprob for one in scored.prompt_logprobs[1:]])
        torch.testing.assert_close(got, wanted, atol=3e-4, rtol=1e-3)


def in_turn(core, requests):
    """Completions of requests that come when the one before has ended."""
    events = []
    for number, one in enumerate(requests):
        core.add(core.sequence(SequenceId(number), one, events.append))
        while not core.idle:
            core.step()
    return [event.completion for event in events if isinstance(event, Finished)]


def test_what_stands_before_the_invocation_is_shared_with_the_base_and_nothing_behind_it(activated, make_runner):
    runner = make_runner(SETTINGS)
    core = engine_core(activated, runner)
    shared = prompt(3, 40)
    invoked = [*shared, *prompt(7, 30), 11, 12, *prompt(4, 20)]
    early = [*prompt(8, 30), 11, 12, *prompt(9, 34), 13, 14, 15, 5]
    asked = [
        request(shared, max_tokens=3),
        request(invoked, activated.hash(FIRST), max_tokens=3),  # the base's first block
        request(invoked, activated.hash(THIRD), max_tokens=3),  # two blocks that the other one left
        request(invoked, max_tokens=3),  # the base: what it would have computed itself
        request(invoked, activated.hash(FIRST), max_tokens=3, logprobs=0),  # up to the block where it acts
        request([*invoked[:-1], 9], activated.hash("all linear, r=4"), max_tokens=3),  # one that always acts: none
        request(early, activated.hash(FIRST), max_tokens=3),
        request(
            early, activated.hash(SECOND), max_tokens=3
        ),  # acts later: no block with its own adapter's is the other's
    ]
    got = in_turn(core, asked)
    known = [0, 1, 2, 2, 2, 0, 0, 0]
    assert [one.cached_tokens for one in got] == [0 if isinstance(runner, TorchRunner) else BLOCK * n for n in known]
    fresh = [in_turn(engine_core(activated, make_runner(SETTINGS)), [one])[0] for one in asked]
    assert [one.tokens for one in got] == [one.tokens for one in fresh]
    if not isinstance(runner, TorchRunner):
        assert got[4].logprobs == fresh[4].logprobs, "to the bit"


def test_the_same_adapter_that_acts_later_has_other_keys_and_values(activated, make_runner):
    """The beginnings are equal token by token, and in one of them the invocation does not count."""
    core = engine_core(activated, make_runner(SETTINGS))
    once = invoking(FIRST, 10, 60)
    twice = [*once, 11, 12, 3]
    asked = [request(tokens, activated.hash(FIRST), max_tokens=4) for tokens in (once, twice, once, twice)]
    got = in_turn(core, asked)
    assert [one.cached_tokens for one in got[:2]] == [0, 0]
    fresh = [in_turn(engine_core(activated, make_runner(SETTINGS)), [one])[0].tokens for one in asked]
    assert [one.tokens for one in got] == fresh


def test_an_answer_that_gave_way_goes_on_as_it_was(activated, make_runner):
    """It invokes the adapter once more, which has no say when it is run again as if it were a prompt."""
    small = replace(SETTINGS, prefix_cache_bytes=0, kv_cache_bytes=1)
    core = engine_core(activated, make_runner(small), small)
    answer = (*prompt(1, 5), 11, 12, *prompt(2, 65))
    asked = [
        request(invoking(FIRST, 4, 4, i), activated.hash(FIRST), max_tokens=80, logprobs=0, choices=(answer,))
        for i in range(3)
    ]
    events = [[] for _ in asked]
    for number, (one, heard) in enumerate(zip(asked, events, strict=True)):
        core.add(core.sequence(SequenceId(number), one, heard.append))
    while not core.idle:
        core.step()
    for one, heard in zip(asked, events, strict=True):
        (roomy,) = in_turn(engine_core(activated, make_runner(SETTINGS)), [one])
        got, wanted = ([t.logprob for t in done.logprobs] for done in (heard[-1].completion, roomy))
        assert got == pytest.approx(wanted, abs=1e-3)
        assert len(got) >= len(answer)


def test_a_prompt_that_does_not_invoke_it_is_refused_alone(activated, make_runner):
    core = engine_core(activated, make_runner(SETTINGS))
    tokens = [*prompt(1, 20), 11]
    events = []
    core.add(core.sequence(SequenceId(0), request(tokens, activated.hash(FIRST), max_tokens=3), events.append))
    core.add(core.sequence(SequenceId(1), request(tokens, max_tokens=3), events.append))
    while not core.idle:
        core.step()
    ends = [event for event in events if isinstance(event, Failed | Finished)]
    failed, finished = sorted(ends, key=lambda event: isinstance(event, Finished))
    assert isinstance(failed.error, BadRequest)
    assert "[11, 12]" in str(failed.error)
    assert isinstance(finished, Finished)


def test_the_invocation_is_kept_in_files(activated):
    folder = activated.folder / str(len(activated.adapters) - 1)
    assert load_adapter(folder).invocation == (11, 12)
    assert activated.adapters["all linear, r=4"].invocation == ()
