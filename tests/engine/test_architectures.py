"""Every architecture through both runners: against `transformers` and `peft`, in any company and any chunks."""

from __future__ import annotations

import copy
from dataclasses import replace

import peft
import pytest
import torch

from chiliad.adapters import LoadedAdapter, load_adapter
from chiliad.config import EngineSettings
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.request import Finished
from chiliad.engine.runner import Chunk, Logits, SequenceId
from chiliad.engine.torch_runner import TorchRunner
from chiliad.kernels import path_in_use
from tests.engine.test_core import engine_core
from tests.engine.tiny import request, write_tokenizer
from tests.models.architectures import CONFIGURATIONS, VOCAB, make, ours

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers

SETTINGS = EngineSettings(batch_max=6, context_max=128, prefill_tokens_max=16, queue_max=64)
COMPILED = [name for name in CONFIGURATIONS if name.startswith(("llama", "mistral", "qwen")) and "window" not in name]
LENGTHS = (5, 40, 1, 23)
"""of prompts, some longer than a window"""


class Both:
    """The same model and expert by `transformers` with `peft`, and by us."""

    def __init__(self, name, folder):
        self.reference, self.model = make(name)
        config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        self.adapted = peft.get_peft_model(copy.deepcopy(self.reference), config).eval()
        self.adapted.save_pretrained(str(folder))
        self.adapter = load_adapter(folder, dtype=torch.float32)
        self.tokenizer = write_tokenizer(folder)

    def logits(self, adapted, tokens):
        with torch.no_grad():
            return (self.adapted if adapted else self.reference)(torch.tensor([list(tokens)])).logits[0]


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def both(request, tmp_path_factory):
    return Both(request.param, tmp_path_factory.mktemp("expert"))


def prompt(number, length):
    return torch.randint(2, VOCAB, (length,), generator=torch.Generator().manual_seed(number)).tolist()


def test_a_mixed_batch_cut_into_chunks_and_a_decoding_step(both):
    runner = TorchRunner(both.model, SETTINGS)
    kinds = [runner.prepare(both.adapter) if i % 2 else None for i in range(len(LENGTHS))]
    prompts = [prompt(i, length) for i, length in enumerate(LENGTHS)]
    got = [[] for _ in LENGTHS]
    for start in range(0, max(LENGTHS), 9):
        pieces = [(i, p[start : start + 9]) for i, p in enumerate(prompts) if p[start : start + 9]]
        logits = runner.run([Chunk(SequenceId(i), tuple(p), start, kinds[i], Logits.ALL) for i, p in pieces])
        for (i, _), rows in zip(pieces, logits.split([len(p) for _, p in pieces]), strict=True):
            got[i].append(rows)
    last = runner.run([Chunk(SequenceId(i), (7,), n, kinds[i], Logits.LAST) for i, n in enumerate(LENGTHS)])
    for i, p in enumerate(prompts):
        wanted = both.logits(i % 2, [*p, 7])
        torch.testing.assert_close(torch.cat([*got[i], last[i : i + 1]]), wanted, atol=5e-4, rtol=1e-3)


def test_prompts_of_one_step_and_greedy_tokens(both):
    core = engine_core(both, TorchRunner(both.model, SETTINGS), SETTINGS, load=lambda _: LoadedAdapter(both.adapter))
    done = {}
    for i, length in enumerate(LENGTHS):
        asked = request(prompt(i, length), both.adapter.hash if i % 2 else None, max_tokens=12)
        core.add(core.sequence(SequenceId(i), asked, lambda event, i=i: done.__setitem__(i, event)))
    while not core.idle:
        core.step()
    for i, length in enumerate(LENGTHS):
        ids = prompt(i, length)
        for _ in range(12):
            ids.append(int(both.logits(i % 2, ids)[-1].argmax()))
        assert isinstance(done[i], Finished)
        assert list(done[i].completion.tokens) == ids[length:]


@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_step_is_near_and_its_bits_depend_on_nobody(name, tmp_path):
    both = Both(name, tmp_path)
    model = ours(both.reference, torch.bfloat16)
    if not NativeRunner.fits(model, SETTINGS):
        pytest.skip(f"computes with {path_in_use()}")
    exact = TorchRunner(ours(both.reference.bfloat16().float()), SETTINGS)
    native, plain, tokens = NativeRunner(model, SETTINGS), TorchRunner(model, SETTINGS), tuple(prompt(9, 70))
    runners = (native, plain, exact)
    adapters = [runner.prepare(both.adapter) for runner in runners]
    alone, rounded, wanted = (
        runner.run([Chunk(SequenceId(0), tokens, 0, adapter, Logits.ALL)]).clone()
        for runner, adapter in zip(runners, adapters, strict=True)
    )
    error, usual = ((logits - wanted).square().mean().sqrt() for logits in (alone, rounded))
    assert error < 1.2 * usual < 0.02 * (wanted.max() - wanted.min()), "as near as bfloat16 is in PyTorch"
    rows = []
    for start, stop in ((0, 33), (33, 34), (34, 70)):
        mine = Chunk(SequenceId(1), tokens[start:stop], start, adapters[0], Logits.ALL)
        others = [
            Chunk(SequenceId(10 * stop + i), tuple(prompt(i, n)), 0, None, Logits.NONE) for i, n in enumerate(LENGTHS)
        ]
        rows.append(native.run([*others[:2], mine, *others[2:]]).clone())
    assert torch.equal(torch.cat(rows), alone)


def test_what_is_not_compiled_is_left_to_pytorch():
    for name in set(CONFIGURATIONS) - set(COMPILED):
        model = ours(make(name)[0], torch.bfloat16)
        assert not NativeRunner.fits(model, SETTINGS)
        if model.config.windows and name != "gemma3":
            short = replace(SETTINGS, context_max=7)
            assert NativeRunner.fits(model, short) == NativeRunner.fits(ours(make("qwen2")[0], torch.bfloat16), short)
