"""Weights in codes: what they are, what they cost in exactness, and that they are never taken unasked."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from gguf import GGMLQuantizationType

from chiliad.base import DEFAULT_BASE, Base, BaseStore
from chiliad.config import EngineSettings, Precision, Settings
from chiliad.engine import Engine
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.native_weights import native_weights
from chiliad.engine.runner import Chunk, Logits, SequenceId
from chiliad.errors import BaseNotFound, ConfigError
from chiliad.kernels import BlockWeight, Format, path_in_use
from chiliad.models import Group, Llama, LlamaConfig
from chiliad.models.codes import no_codes
from tests.base.tiny import write_gguf
from tests.engine.tiny import SETTINGS

CODED = [Precision.INT8, Precision.INT4]
FORMATS = {Precision.INT8: (Format.Q8_0, Format.Q8_0), Precision.INT4: (Format.Q4_1, Format.Q8_0)}


def matrices(model, precision, quantised=no_codes):
    """(weight, what it is computed with): of the layers, and then of the head."""
    _, layers, ends = native_weights(model, precision, quantised)
    pairs = zip(model.layers, layers, strict=True)
    inside = [both for kept, ours in pairs for both in zip(kept.weights.values(), ours[2:6], strict=True)]
    return inside, (model.head, ends.head)


def native(model, precision, quantised=no_codes, settings=SETTINGS):
    if not NativeRunner.fits(model, settings):
        pytest.skip(f"computes with {path_in_use()}")
    return NativeRunner(model, replace(settings, precision=precision), quantised)


def logprobs(runner, tokens):
    logits = runner.run([Chunk(SequenceId(0), tokens, 0, None, Logits.ALL)]).clone()
    runner.release(SequenceId(0))
    return logits.double().log_softmax(-1)


def divergence(wanted, got):
    """Kullback-Leibler, in nats, the mean over tokens."""
    return float((wanted.exp() * (wanted - got)).sum(-1).mean())


def pulled(tmp_path, quantisation):
    """(base, its model)"""
    path = write_gguf(tmp_path / "coded.gguf", quantisation=quantisation)
    base = BaseStore(tmp_path / "cache").pull(str(path))
    return base, Llama.load(base.path, LlamaConfig.from_hf(base.config))


def test_nothing_is_rounded_unasked(tiny):
    assert EngineSettings().precision is Precision.BF16
    inside, head = matrices(tiny.bf16, Precision.BF16)
    assert all(ours is weight for weight, ours in [*inside, head])


@pytest.mark.parametrize("precision", CODED)
def test_every_matrix_is_in_codes_and_the_head_in_8_bits(tiny, precision):
    inside, head = matrices(tiny.bf16, precision)
    assert {ours.format for _, ours in inside} == {FORMATS[precision][0]}
    assert head[1].format is Format.Q8_0


@pytest.mark.parametrize(
    ("quantisation", "precision"),
    [
        (GGMLQuantizationType.Q8_0, Precision.INT8),
        (GGMLQuantizationType.Q4_1, Precision.INT4),
        (GGMLQuantizationType.Q4_0, Precision.INT4),
    ],
)
def test_a_base_that_came_in_codes_keeps_them(tmp_path, monkeypatch, quantisation, precision):
    """They stand for the base's very numbers; only the head of a 4-bit base is in another format, 8 bits."""
    base, model = pulled(tmp_path, quantisation)
    rounded, kept = [], BlockWeight.rounded.__func__

    def note(cls, weight, format_):
        rounded.append(weight)
        return kept(cls, weight, format_)

    monkeypatch.setattr(BlockWeight, "rounded", classmethod(note))
    inside, head = matrices(model, precision, base.quantised())
    for weight, ours in inside:
        assert torch.equal(ours.numbers().bfloat16(), weight)
    assert len(rounded) == (0 if precision is Precision.INT8 else 1)
    assert head[1].format is Format.Q8_0


def test_codes_of_other_numbers_than_the_models_are_not_used(tmp_path):
    base, model = pulled(tmp_path, GGMLQuantizationType.Q4_1)
    another = write_gguf(tmp_path / "another.gguf", quantisation=GGMLQuantizationType.Q4_1, seed=1)
    (base.path / "source.gguf").write_bytes(another.read_bytes())
    inside, _ = matrices(model, Precision.INT4, base.quantised())
    for weight, ours in inside:
        assert (ours.numbers() - weight.float()).abs().max() < 0.6 * ours.scale.float().max()


def as_its_codes_say(model, precision):
    """The model with the numbers that its codes stand for, in bfloat16."""
    model = copy.deepcopy(model)
    _, layers, ends = native_weights(model, precision)
    for kept, ours in zip(model.layers, layers, strict=True):
        kept.weights.update({group: codes.numbers().bfloat16() for group, codes in zip(Group, ours[2:6], strict=True)})
    model.head = ends.head.numbers().bfloat16()
    return model


@pytest.mark.parametrize("precision", CODED)
def test_a_step_with_codes_is_one_with_the_numbers_that_they_stand_for(tiny, precision):
    """But for rows in 8 bits. What rounding did to the numbers is more: 4 bits say little about random ones."""
    tokens = tuple(torch.randint(2, 250, (90,), generator=torch.Generator().manual_seed(5)).tolist())
    exact = logprobs(native(tiny.bf16, Precision.BF16), tokens)
    wanted = logprobs(native(as_its_codes_say(tiny.bf16, precision), Precision.BF16), tokens)
    got = logprobs(native(tiny.bf16, precision), tokens)
    assert 0 < divergence(wanted, got) < 5e-3
    assert divergence(exact, got) < {Precision.INT8: 5e-3, Precision.INT4: 0.5}[precision]


@pytest.mark.real_base
@pytest.mark.parametrize(("precision", "bound"), [(Precision.INT8, 0.01), (Precision.INT4, 0.01)])
def test_the_error_of_the_real_base_is_small(real_base, real_model, precision, bound):
    """Its file is in 4 bits, so that all of the error comes from rows of 8 bits, and for int8 from rounding once more."""
    text = (
        "The parcel was due on Monday, and the tracking page still says that it has not left the warehouse. What now?"
    )
    tokens = tuple(real_base.tokenizer().encode(text))
    settings = EngineSettings(context_max=64, batch_max=1)
    wanted = logprobs(native(real_model, Precision.BF16, settings=settings), tokens)
    got = logprobs(native(real_model, precision, real_base.quantised(), settings), tokens)
    assert divergence(wanted, got) < bound
    assert (wanted.argmax(-1) == got.argmax(-1)).float().mean() > 0.9


def test_what_cannot_be_had_is_refused_with_what_to_do(tiny):
    """PyTorch has no codes, and these widths have none."""
    settings = replace(SETTINGS, precision=Precision.INT4)
    with pytest.raises(ConfigError, match=r"int4 need native kernels.*Set engine\.precision to bf16"):
        Engine(tiny.model, tiny.tokenizer, tiny.load, settings)
    narrow = Llama.random(replace(tiny.model.config, intermediate_size=48), 0, torch.bfloat16)
    with pytest.raises(ConfigError, match="48 inputs"):
        native_weights(narrow, Precision.INT4)


@pytest.fixture(scope="module")
def real_base() -> Base:
    try:
        return BaseStore(Settings.load(environ={}).cache_dir).get(DEFAULT_BASE)
    except BaseNotFound as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def real_model(real_base):
    return Llama.load(real_base.path, LlamaConfig.from_hf(real_base.config))
