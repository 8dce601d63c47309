"""The smallest adapter that has every part of a real one."""

import torch

from chiliad.adapters import LoraShape, save_adapter

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS = 8, 16, 2, 2, 1
WIDTHS = {
    "q_proj": (8, 8),
    "k_proj": (8, 4),
    "v_proj": (8, 4),
    "o_proj": (8, 8),
    "gate_proj": (8, 16),
    "up_proj": (8, 16),
    "down_proj": (16, 8),
}


def write_adapter(folder, *, seed=0, rank=2, fingerprint="f" * 64, rslora=False):
    """Write a random LoRA over all linear layers."""
    generator = torch.Generator().manual_seed(seed)
    factors = {
        (layer, site): (
            torch.randn(rank, width_in, generator=generator),
            torch.randn(width_out, rank, generator=generator),
        )
        for layer in range(LAYERS)
        for site, (width_in, width_out) in WIDTHS.items()
    }
    shape = LoraShape(rank=rank, alpha=2.0 * rank, rslora=rslora, targets=tuple(WIDTHS))
    return save_adapter(folder, shape, factors, base_id="tiny", base_fingerprint=fingerprint)
