"""Prefixes in the PyTorch runner against `transformers` and `peft`; the native one says that it has none."""

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from peft import PeftModel, PrefixTuningConfig, get_peft_model

from chiliad.adapters import load_adapter
from chiliad.engine import Engine
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.runner import Chunk, Logits, SequenceId
from chiliad.engine.torch_runner import TorchRunner
from chiliad.errors import BrokenAdapter, NotServed
from tests.engine.tiny import EXPERTS, SETTINGS, prompt, request

PREFIXES = {"prefix of 4": 4, "prefix of 9": 9}
NAMES = [None, "prefix of 4", "all linear, r=4", "prefix of 9", "prefix of 4"]


@pytest.fixture(scope="module")
def prefixed(tiny, tmp_path_factory):
    """`tiny` with experts that are prefixes, as `peft` makes and saves them."""
    more = copy.copy(tiny)
    more.adapters, more.peft_models = dict(tiny.adapters), dict(tiny.peft_models)
    for name, count in PREFIXES.items():
        folder = tmp_path_factory.mktemp("prefix")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
            config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=count)
            model = get_peft_model(copy.deepcopy(tiny.reference), config)
            model.save_pretrained(str(folder))
            more.peft_models[name] = PeftModel.from_pretrained(copy.deepcopy(tiny.reference), str(folder)).eval()
        more.adapters[name] = load_adapter(folder, dtype=torch.float32)
    return more


def chunks(runner, prefixed, parts):
    """parts: (number, expert, tokens, start)"""
    return [
        Chunk(SequenceId(n), tuple(t), start, runner.prepare(prefixed.adapters[e]) if e else None, Logits.ALL)
        for n, e, t, start in parts
    ]


def assert_logits(prefixed, names, prompts, rows):
    for name, tokens, row in zip(names, prompts, rows, strict=True):
        torch.testing.assert_close(
            torch.as_tensor(row).log_softmax(-1), prefixed.logprobs(name, tokens), atol=3e-4, rtol=1e-3
        )


def test_a_prefill_in_company(prefixed):
    runner = TorchRunner(prefixed.model, SETTINGS)
    prompts = [prompt(i, length) for i, length in enumerate((5, 17, 9, 60, 17))]
    logits = runner.run(
        chunks(runner, prefixed, [(i, n, p, 0) for i, (n, p) in enumerate(zip(NAMES, prompts, strict=True))])
    )
    assert_logits(prefixed, NAMES, prompts, logits.split([len(p) for p in prompts]))


@pytest.mark.parametrize("cut", [1, 7])
def test_pieces_give_what_the_whole_prompt_gives(prefixed, cut):
    """One token at a time is how answers are decoded."""
    runner = TorchRunner(prefixed.model, SETTINGS)
    prompts = [prompt(i, 20 + i) for i in range(len(NAMES))]
    got = [[] for _ in NAMES]
    for start in range(0, 24, cut):
        parts = [(i, NAMES[i], p[start : start + cut], start) for i, p in enumerate(prompts) if len(p) > start]
        logits = runner.run(chunks(runner, prefixed, parts))
        for (i, *_), rows in zip(parts, logits.split([len(tokens) for _, _, tokens, _ in parts]), strict=True):
            got[i].append(rows)
    assert_logits(prefixed, NAMES, prompts, [torch.cat(rows) for rows in got])


def test_a_row_is_clean_for_the_next_sequence_and_moves_with_its_prefix(prefixed):
    runner = TorchRunner(prefixed.model, SETTINGS)
    first, second = prompt(1, 62), prompt(2, 8)
    runner.run(chunks(runner, prefixed, [(0, "prefix of 9", second, 0), (1, "prefix of 4", first, 0)]))
    runner.release(SequenceId(0))
    logits = runner.run(chunks(runner, prefixed, [(1, "prefix of 4", (7,), 62), (2, None, second, 0)]))
    assert_logits(prefixed, [None], [second], [logits[1:]])
    wanted = prefixed.logprobs("prefix of 4", [*first, 7])[-1:]
    torch.testing.assert_close(logits[:1].log_softmax(-1), wanted, atol=3e-4, rtol=1e-3)
    runner.release(SequenceId(1))
    runner.release(SequenceId(2))
    assert (runner.sequences, runner.adapters) == (0, 0)


def test_its_tokens_count_as_memory(prefixed):
    runner = TorchRunner(prefixed.model, SETTINGS)
    adapter = runner.prepare(prefixed.adapters["prefix of 9"])
    free = runner.tokens_free
    for number, (held, taken) in enumerate(((None, 64), (adapter, 96))):
        runner.begin(SequenceId(number), (1, 2), held)
        assert runner.reserve(SequenceId(number), 60)
        assert free - runner.tokens_free == taken
        runner.release(SequenceId(number))
    assert runner.tokens_free == free


def test_the_engine_answers_as_peft_does(prefixed):
    with Engine(prefixed.model, prefixed.tokenizer, prefixed.load, SETTINGS) as engine:
        prompts = [prompt(40 + i, 6 + i) for i in range(len(NAMES))]
        requests = [
            request(p, prefixed.hash(name), id_=str(i), max_tokens=8)
            for i, (name, p) in enumerate(zip(NAMES, prompts, strict=True))
        ]
        for name, p, done in zip(NAMES, prompts, engine.generate(requests), strict=True):
            assert done.tokens == prefixed.answer(name, p, 8)
        longest = request(prompt(3, SETTINGS.context_max - 4), prefixed.hash("prefix of 9"), max_tokens=4)
        assert len(engine.generate([longest])[0].tokens) == 4


def test_a_prompt_that_is_scored_grows_with_its_prefix(prefixed):
    """Through the end of a lane."""
    p = prompt(50, 56)
    asked = request(p, prefixed.hash("prefix of 9"), prompt_logprobs=0, max_tokens=40)
    with Engine(prefixed.model, prefixed.tokenizer, prefixed.load, SETTINGS) as engine:
        (done,) = engine.generate([asked])
    assert done.tokens == prefixed.answer("prefix of 9", p, 40)


def test_a_context_without_positions_for_it_is_refused_with_what_to_do(prefixed):
    runner = TorchRunner(prefixed.model, replace(SETTINGS, context_max=120))
    runner.prepare(prefixed.adapters["prefix of 4"])
    with pytest.raises(NotServed, match=r"9 virtual tokens .* 120 .* engine\.context_max to at most 119"):
        runner.prepare(prefixed.adapters["prefix of 9"])


def test_one_of_another_size_is_refused(prefixed):
    adapter = prefixed.adapters["prefix of 4"]
    runner = TorchRunner(prefixed.model, SETTINGS)
    shallow = {key: pair for key, pair in adapter.layers.items() if key[0] == 0}
    narrow = {key: tuple(part[:, :1] for part in pair) for key, pair in adapter.layers.items()}
    for layers in (shallow, narrow):
        with pytest.raises(BrokenAdapter, match="does not fit this base at prefix of layer"):
            runner.prepare(replace(adapter, layers=layers))


def test_native_kernels_say_that_they_have_none(prefixed):
    if not NativeRunner.fits(prefixed.bf16, SETTINGS):
        pytest.skip("no native kernels")
    runner = NativeRunner(prefixed.bf16, SETTINGS)
    with pytest.raises(NotServed, match=r"PyTorch alone.*CHILIAD_NATIVE=0"):
        runner.prepare(prefixed.adapters["prefix of 4"])
    assert runner.prepare(prefixed.adapters[next(iter(EXPERTS))])
