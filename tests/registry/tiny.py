"""The smallest adapter that has every part of a real one."""

import torch

from chiliad.adapters import LoraShape, save_adapter

LAYERS = 2
WIDTHS = {
    "q_proj": (64, 64),
    "k_proj": (64, 32),
    "v_proj": (64, 32),
    "o_proj": (64, 64),
    "gate_proj": (64, 96),
    "up_proj": (64, 96),
    "down_proj": (96, 64),
}
"""(in, out) of each linear layer of the base in `tests/base/tiny.py`"""


def write_adapter(
    folder,
    *,
    seed=0,
    rank=4,
    fingerprint="f" * 64,
    rslora=False,
    zero=False,
    layers=LAYERS,
    widths=WIDTHS,
    invocation=(),
):
    """Write a random LoRA over all linear layers of the tiny base."""
    generator = torch.Generator().manual_seed(seed)
    factors = {
        (layer, site): (
            0.2 * torch.randn(rank, width_in, generator=generator),
            (0.0 if zero else 0.2) * torch.randn(width_out, rank, generator=generator),
        )
        for layer in range(layers)
        for site, (width_in, width_out) in widths.items()
    }
    shape = LoraShape(rank=rank, alpha=2.0 * rank, rslora=rslora, targets=tuple(widths), invocation=invocation)
    return save_adapter(folder, shape, factors, base_id="tiny", base_fingerprint=fingerprint)
