"""The hand-written backwards against autograd through the obvious formulas."""

import pytest
import torch
import torch.nn.functional as F

from chiliad.models.ops import rms_norm, rotate, swiglu


def _compare(fast, plain, *shapes):
    inputs = [torch.randn(*shape, dtype=torch.float32, requires_grad=True) for shape in shapes]
    weights = torch.randn_like(plain(*inputs))
    wanted = torch.autograd.grad((plain(*inputs) * weights).sum(), inputs)
    got = torch.autograd.grad((fast(*inputs) * weights).sum(), inputs)
    torch.testing.assert_close(fast(*inputs), plain(*inputs))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_rms_norm_has_the_gradient_of_its_formula():
    weight = torch.randn(16)
    _compare(
        lambda x: rms_norm(x, weight, 1e-5),
        lambda x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight,
        (5, 16),
    )


def test_swiglu_has_the_gradient_of_its_formula():
    _compare(swiglu, lambda x: F.silu(x[:, :8]) * x[:, 8:], (5, 16))


def test_rotation_has_the_gradient_of_its_formula():
    angle = torch.randn(5, 1, 4)
    cos, sin = torch.cat((angle, angle), -1).cos(), torch.cat((angle, angle), -1).sin()
    _compare(
        lambda x: rotate(x, cos, sin), lambda x: x * cos + torch.cat((-x[..., 4:], x[..., :4]), -1) * sin, (5, 3, 8)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_operations_leave_their_input_alone(dtype):
    x = torch.randn(3, 8, dtype=dtype)
    before = x.clone()
    rms_norm(x, torch.ones(8, dtype=dtype), 1e-5)
    swiglu(x)
    assert torch.equal(x, before)
