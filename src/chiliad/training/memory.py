"""How much memory training takes, and giving back to the system what is free."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from chiliad.models import SITES, Transformer, is_in_codes, matrix_bytes
from chiliad.training.native_pass import NativePass
from chiliad.training.trainer import PASS_TOKENS_MAX

LOGITS_ROWS = 256
EXPERT_BYTES_PER_NUMBER = 5 * 4 + 4 * 2
"""float32 weight, gradient, two moments and best weight; bfloat16 for two products each way"""


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None


_TRIM = _find_trim()


def release_freed_memory() -> None:
    """Hand free pages back where the C library is glibc; elsewhere do nothing.

    Activations come in as many sizes as batches have shapes. glibc keeps their holes: a run of an hour grew from 1.3 GiB
    to 4 GiB of which a third was in use.
    """
    if _TRIM is not None:
        _TRIM(0)


def training_bytes(model: Transformer, rank: int, seats: int) -> int:
    """About what training `seats` experts at once takes, of LoRA on all linear layers or what a pass sees as such.

    The base, for compiled passes three times (as it is, and laid out for both ways) as far as it is not in codes, what a
    pass keeps of its tokens, and for each expert its weights, gradient, moments, best weights and copies.
    """
    config = model.config
    copies = 3 if NativePass.fits(model) else 1
    base = matrix_bytes(model) * (1 if is_in_codes(model) else copies) + model.embedding.nbytes * copies
    widths = 2 * config.hidden_size + config.num_heads * config.head_dim + 2 * config.intermediate_size
    widths += (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    kept = PASS_TOKENS_MAX * config.num_layers * widths + LOGITS_ROWS * config.vocab_size
    expert = rank * sum(sum(config.widths(site)) for site in SITES) * config.num_layers
    return base + model.embedding.element_size() * kept + seats * expert * EXPERT_BYTES_PER_NUMBER
