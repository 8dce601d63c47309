"""Training on a base in codes of 8 or 4 bits: the gradients of the matrices that the codes stand for, none of them kept."""

import weakref
from dataclasses import replace

import pytest
import torch

from chiliad.adapters import CoreShape, Ia3Shape, LoraShape
from chiliad.adapters.basis import Basis
from chiliad.config import Precision
from chiliad.kernels import BlockWeight, CompactWeight, Format
from chiliad.models import SITES, Group, Llama, LlamaConfig, in_codes, is_in_codes, matrix_bytes, takes_codes
from chiliad.models.codes import LAYER_FORMATS
from chiliad.models.transformer import as_read, random_tensors
from chiliad.training import Trainer
from chiliad.training.memory import training_bytes
from chiliad.training.native_pass import NativePass
from chiliad.training.packed import Packed
from chiliad.training.plain_pass import PlainPass
from chiliad.training.rows import make_batch
from tests.models.architectures import CONFIGURATIONS, make
from tests.training.test_trainer import ALIKE, ROWS, _plain_loss

CONFIG = LlamaConfig(64, 96, 2, 4, 2, 16, 62, 64, 1e4, 1e-5, tied=True)
CODED = [Precision.INT8, Precision.INT4]
SHAPE = LoraShape(3, 6.0, False, SITES)


def model_in(precision, dtype=torch.float32):
    tensors = random_tensors(CONFIG, seed=1)
    return Llama(CONFIG, tensors, dtype, as_read if precision is Precision.BF16 else in_codes(precision))


def as_numbers(model):
    """The same model with the matrices that its codes stand for."""
    plain = model_in(Precision.BF16, model.dtype)
    plain.layers = [replace(layer, weights=dict(layer.weights.items())) for layer in model.layers]
    return plain


def trained(model, shape, rows):
    """(report, gradient) of an expert that does something already."""
    trainer = Trainer(model)
    state = trainer.add("x", shape, seed=2)
    state.master.add_(torch.randn(state.master.shape, generator=torch.Generator().manual_seed(3)) * 0.1)
    state.refresh()
    report = trainer.forward_backward({"x": rows})["x"]
    state.collect()
    return report, state.grad


@pytest.mark.parametrize("format_", [Format.Q8_0, Format.Q4_1])
@pytest.mark.parametrize("shape", [(3, 32), (700, 256)])
def test_compact_codes_stand_for_the_same_numbers(format_, shape):
    weight = BlockWeight.rounded(torch.randn(shape, generator=torch.Generator().manual_seed(0)), format_)
    compact = CompactWeight.of(weight)
    for dtype in (torch.float32, torch.bfloat16):
        assert torch.equal(compact.numbers(dtype), weight.numbers().to(dtype))
    per_number = 1 + 2 / 32 if format_ is Format.Q8_0 else 0.5 + 4 / 32
    assert compact.nbytes == per_number * weight.codes.numel()


@pytest.mark.parametrize("precision", CODED)
def test_every_layer_is_in_codes_that_are_close_to_it(precision):
    whole, coded = (model_in(p, torch.bfloat16) for p in (Precision.BF16, precision))
    assert is_in_codes(coded)
    assert not is_in_codes(whole)
    assert matrix_bytes(coded) < (0.54 if precision is Precision.INT8 else 0.32) * matrix_bytes(whole)
    for layer in range(CONFIG.num_layers):
        for group in Group:
            wanted = BlockWeight.rounded(whole.weight(layer, group), LAYER_FORMATS[precision]).numbers()
            assert torch.equal(coded.weight(layer, group), wanted.to(torch.bfloat16))
            assert coded.weight(layer, group) is not coded.weight(layer, group), "made anew"


@pytest.mark.parametrize("precision", CODED)
@pytest.mark.parametrize("rows", [ROWS, ALIKE], ids=["different", "alike"])
def test_gradients_equal_plain_autograd_on_the_numbers_that_the_codes_stand_for(precision, rows):
    model = model_in(precision)
    trainer = Trainer(model)
    state = trainer.add("x", SHAPE, seed=2)
    state.master.add_(torch.randn(state.parameters, generator=torch.Generator().manual_seed(3)) * 0.1)
    state.refresh()
    factors = {key: tuple(half.clone().requires_grad_() for half in pair) for key, pair in state.factors().items()}
    loss = _plain_loss(as_numbers(model), factors, SHAPE.scale, rows)
    loss.backward()
    report = trainer.forward_backward({"x": rows})["x"]
    assert report.nll / report.answers == pytest.approx(loss.item(), rel=1e-5)
    wanted = torch.cat([half.grad.flatten() for pair in factors.values() for half in pair])
    torch.testing.assert_close(state.grad / report.answers, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", CODED)
@pytest.mark.parametrize("kind", ["lora", "shared-basis", "ia3"])
@pytest.mark.parametrize("passes", ["compiled", "plain"])
def test_every_kind_gets_the_bits_that_those_numbers_give(passes, kind, precision, monkeypatch):
    coded = model_in(precision, torch.bfloat16)
    if passes == "plain":
        monkeypatch.setattr(NativePass, "fits", staticmethod(lambda _: False))
    elif not NativePass.fits(coded):
        pytest.skip("no compiled passes")
    shape = {"lora": SHAPE, "ia3": Ia3Shape(), "shared-basis": CoreShape(Basis.of(coded.weights(), 2))}[kind]
    report, gradient = trained(coded, shape, ROWS)
    wanted_report, wanted = trained(as_numbers(coded), shape, ROWS)
    assert gradient.abs().max() > 0
    assert report == wanted_report
    assert torch.equal(gradient, wanted)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_architecture_can_be_kept_in_codes(name):
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "head_dim": 16}
    reference, whole = make(name, **sizes)
    coded = type(whole)(whole.config, reference.state_dict(), torch.float32, in_codes(Precision.INT8))
    assert is_in_codes(coded)
    (_, gradient), (_, wanted) = (trained(model, SHAPE, ROWS) for model in (coded, whole))
    assert not torch.equal(gradient, wanted)
    assert torch.nn.functional.cosine_similarity(gradient, wanted, dim=0) > 0.99


def test_no_matrix_outlives_the_layer_that_reads_it():
    model = model_in(Precision.INT4)
    made, make_anew = [], model.weight

    def weight(layer, group):
        assert not any(earlier() is not None for earlier in made), "two matrices at once"
        matrix = make_anew(layer, group)
        made.append(weakref.ref(matrix))
        return matrix

    model.weight = weight
    trainer = Trainer(model)
    state = trainer.add("x", SHAPE, seed=2)
    loss, _ = PlainPass(model)._loss(Packed.of([(state, make_batch(ROWS))]), train=True)
    forward = len(made)
    loss.backward()
    assert forward == len(Group) * CONFIG.num_layers
    assert len(made) == 2 * forward
    assert not any(matrix() is not None for matrix in made)


def test_it_takes_less_memory_than_three_copies():
    whole, coded = (training_bytes(model_in(p, torch.bfloat16), 8, 1) for p in (Precision.BF16, Precision.INT4))
    assert coded < whole


def test_widths_that_have_no_codes_are_told_apart():
    assert takes_codes(CONFIG)
    assert not takes_codes(replace(CONFIG, intermediate_size=48))
