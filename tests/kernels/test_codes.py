"""Matrices in codes: rounding, and the compiled product against plain arithmetic."""

import pytest
import torch
from torch.testing import assert_close

from chiliad.kernels import BLOCK_INPUTS, BlockWeight, Format, PackedLinear, native_for, path_in_use
from chiliad.kernels.linear import plain_linear

CODED = [Format.Q8_0, Format.Q4_1]
native_only = pytest.mark.skipif(native_for() is None, reason=f"computes with {path_in_use()}")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def draw(*shape):
    return torch.randn(*shape).bfloat16()


def product(x, weight):
    return PackedLinear(weight)(x).float()


@pytest.mark.parametrize("format_", CODED)
def test_a_number_is_rounded_to_the_nearest_code(format_):
    weight = draw(70, 96) + 3 * draw(70, 1)
    rounded = BlockWeight.rounded(weight, format_)
    step = rounded.scale.float().repeat_interleave(BLOCK_INPUTS, 1)
    assert rounded.format is format_
    assert ((rounded.numbers() - weight.float()).abs() <= 0.51 * step + 2**-11 * weight.abs()).all()


@pytest.mark.parametrize("format_", CODED)
def test_what_are_codes_already_is_kept(format_):
    weight = BlockWeight.rounded(draw(50, 64), format_)
    assert_close(BlockWeight.rounded(weight.numbers(), format_).numbers(), weight.numbers(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("format_", CODED)
def test_numbers_that_are_all_alike_or_tiny_or_none(format_):
    weight = torch.zeros(4, 32)
    weight[1], weight[2], weight[3, 5] = 2.5, 1e-9, torch.nan
    numbers = BlockWeight.rounded(weight, format_).numbers()
    assert (numbers[0] == 0).all()
    assert_close(numbers[1], weight[1], rtol=2**-10, atol=0)
    assert (numbers[2].abs() < 1e-7).all()
    assert numbers[3].isnan().all()


@native_only
@pytest.mark.parametrize("format_", CODED)
@pytest.mark.parametrize(("outputs", "inputs"), [(48, 32), (100, 64), (960, 576), (7, 1536)])
@pytest.mark.parametrize("rows", [1, 3, 4, 33, 300])
def test_a_product_is_that_of_plain_arithmetic(format_, outputs, inputs, rows):
    weight, x = BlockWeight.rounded(draw(outputs, inputs), format_), draw(rows, inputs)
    assert_close(product(x, weight), plain_linear(x, weight), rtol=2**-7, atol=2e-3 * inputs**0.5)


@native_only
@pytest.mark.parametrize("format_", CODED)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_codes_of_one_sign_do_not_run_over(format_, sign):
    """32 times 255 * 127 on the one hand, 15 * 127 on the other: to the bit, as bfloat16 has the numbers."""
    code = torch.full((48, 64), 15, dtype=torch.uint8)
    zero = torch.zeros(48, 2, dtype=torch.float16)
    weight = (
        BlockWeight(code, zero + 1, zero) if format_ is Format.Q4_1 else BlockWeight(127 + 0 * code.char(), zero + 1)
    )
    largest = int(weight.codes.max())
    x = torch.full((5, 64), 127.0 * sign).bfloat16()
    assert torch.equal(product(x, weight), torch.full((5, 48), 64.0 * 127 * largest * sign).bfloat16().float())


@native_only
@pytest.mark.parametrize("format_", CODED)
def test_a_row_does_not_depend_on_the_others_or_on_threads(format_):
    linear, x = PackedLinear(BlockWeight.rounded(draw(200, 576), format_)), draw(61, 576)
    together, threads = linear(x), torch.get_num_threads()
    assert all(torch.equal(linear(x[i : i + 1])[0], row) for i, row in enumerate(together))
    try:
        torch.set_num_threads(3)
        assert torch.equal(linear(x), together)
    finally:
        torch.set_num_threads(threads)


@native_only
@pytest.mark.parametrize("format_", CODED)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_row_that_is_not_finite_gives_none_that_is_and_leaves_the_others(format_, bad):
    weight, x = BlockWeight.rounded(draw(60, 96), format_), draw(6, 96)
    good = product(x, weight)
    x[2, 40] = bad
    got = product(x, weight)
    assert not got[2].isfinite().any()
    others = [0, 1, 3, 4, 5]
    assert torch.equal(got[others], good[others])


@native_only
@pytest.mark.parametrize("format_", CODED)
def test_rows_of_zeros_and_of_the_smallest_numbers(format_):
    weight = BlockWeight.rounded(draw(50, 64), format_)
    x = torch.zeros(3, 64).bfloat16()
    x[1], x[2] = 1e-38, 1e-30
    got = product(x, weight)
    assert (got[0] == 0).all()
    assert (got[1:].abs() < 1e-27).all()
