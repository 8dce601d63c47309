"""Compiled kernels against PyTorch; where they are not in use, what stands in for them."""

import os
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from chiliad import kernels
from chiliad.kernels import PackedLinear, gate, loss, norm, packing, rotary
from chiliad.kernels.dispatch import native_for

native_only = pytest.mark.skipif(
    native_for(torch.empty(1, dtype=torch.bfloat16)) is None, reason=f"computes with {kernels.path_in_use()}"
)
ROUNDING = {"rtol": 2**-6, "atol": 2**-6}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def draw(*shape):
    return torch.randn(*shape).bfloat16()


@pytest.mark.parametrize("width", [16, 40, 577])
def test_rms_norm_and_its_gradient(width):
    x, weight, grad = draw(5, width), draw(width), draw(5, width)
    y, scale = norm.rms_norm(x, weight, 1e-5)
    plain, plain_scale = norm.plain_rms_norm(x, weight, 1e-5)
    assert_close(y, plain, **ROUNDING)
    assert_close(scale, plain_scale)
    back = norm.rms_norm_backward(grad, x, weight, scale)
    wanted = norm.plain_rms_norm_backward(grad.float(), x.float(), weight.float(), scale)
    assert_close(back, wanted.bfloat16(), **ROUNDING)


@pytest.mark.parametrize("width", [16, 40, 1537])
def test_swiglu_and_its_gradient(width):
    gate_up, grad = 3 * draw(5, 2 * width), draw(5, width)
    assert_close(gate.swiglu(gate_up), gate.plain_swiglu(gate_up.float()).bfloat16(), **ROUNDING)
    wanted = gate.plain_swiglu_backward(grad.float(), gate_up.float())
    assert_close(gate.swiglu_backward(grad, gate_up), wanted.bfloat16(), **ROUNDING)


def test_swiglu_far_from_zero():
    gate_up = torch.tensor([[-200.0, -90.0, 0.0, 90.0, 200.0] + [1.0] * 5]).bfloat16()
    assert_close(gate.swiglu(gate_up), gate.plain_swiglu(gate_up))


@pytest.mark.parametrize("head_dim", [8, 40, 64])
def test_rotation_of_a_view_there_and_back(head_dim):
    x = draw(5, 5 * head_dim)[:, : 3 * head_dim].unflatten(-1, (3, head_dim))
    angle = torch.randn(5, 1, head_dim // 2)
    cos, sin = (torch.cat((t, t), -1).bfloat16() for t in (angle.cos(), angle.sin()))
    for back in (False, True):
        wanted = rotary.plain_rotate(x.float(), cos.float(), sin.float(), back=back)
        assert_close(rotary.rotate(x, cos, sin, back=back), wanted.bfloat16(), **ROUNDING)


@pytest.mark.parametrize("vocab", [16, 50, 1001])
def test_cross_entropy_and_its_slope(vocab):
    logits, targets = 4 * draw(7, vocab), torch.randint(vocab, (7,))
    targets[0] = logits[0].argmax()
    wanted = loss.plain_cross_entropy(logits.float(), targets, slope=True)
    scored = loss.cross_entropy_(logits.clone(), targets, slope=False)
    taught = loss.cross_entropy_(logits.clone(), targets, slope=True)
    assert scored.slope is None
    assert_close(taught.slope, wanted.slope.bfloat16(), rtol=2**-7, atol=1e-4)
    for got in (scored, taught):
        assert_close(got.nll, wanted.nll, rtol=1e-5, atol=1e-5)
        assert torch.equal(got.correct, wanted.correct)


def test_the_first_of_equal_logits_is_the_best():
    logits = torch.zeros(2, 40).bfloat16()
    logits[:, [20, 30]] = 1
    assert loss.cross_entropy_(logits, torch.tensor([20, 30]), slope=False).correct.tolist() == [True, False]


@native_only
@pytest.mark.parametrize(("outputs", "inputs"), [(48, 64), (100, 66), (960, 576)])
@pytest.mark.parametrize("rows", [1, 7, 8, 33])
def test_packed_product(outputs, inputs, rows):
    weight, x = draw(outputs, inputs), draw(rows, inputs)
    assert_close(PackedLinear(weight)(x), (x.float() @ weight.float().T).bfloat16(), rtol=2**-6, atol=2**-3)


@native_only
def test_a_row_of_a_product_does_not_depend_on_the_others_or_on_threads():
    product, x = PackedLinear(draw(200, 576)), draw(61, 576)
    together, threads = product(x), torch.get_num_threads()
    assert all(torch.equal(product(x[i : i + 1])[0], row) for i, row in enumerate(together))
    try:
        torch.set_num_threads(3)
        assert torch.equal(product(x), together)
    finally:
        torch.set_num_threads(threads)


@native_only
@pytest.mark.parametrize("vocab", [16, 50, 4001])
def test_argmax_is_the_first_of_the_largest_and_any_nan(vocab):
    logits = torch.randn(6, vocab)
    logits[1, [7, vocab - 1]] = 9.0
    logits[2, 5], logits[2, 9] = torch.nan, torch.inf
    logits[3] = -torch.inf
    logits[4] = torch.nan
    assert kernels.argmax(logits).tolist() == [int(logits[0].argmax()), 7, 5, 0, 0, int(logits[5].argmax())]


@native_only
def test_both_sides_mean_the_same_sizes():
    native = native_for()
    assert (native.PANEL, native.BLOCK) == (packing.PANEL, kernels.BLOCK_TOKENS)


def test_other_numbers_than_bfloat16_are_left_to_pytorch():
    assert native_for(torch.empty(1)) is None
    assert not PackedLinear.fits(torch.empty(4, 4))


def test_native_kernels_can_be_turned_off():
    code = "from chiliad import kernels; print(kernels.path_in_use())"
    environment = {**os.environ, "CHILIAD_NATIVE": "0"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "PyTorch (CHILIAD_NATIVE=0)\n"
