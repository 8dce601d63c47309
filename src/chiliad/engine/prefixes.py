"""Where a prefix is served: by PyTorch, in a context that leaves positions for it."""

from __future__ import annotations

from chiliad.errors import NotServed


def prefix_not_served() -> NotServed:
    return NotServed(
        "An adapter of the kind prefix is computed in PyTorch alone, and here native kernels compute.",
        fix="Set CHILIAD_NATIVE=0, which is slower for all others, or train another kind.",
    )


def require_positions(virtual_tokens: int, context_max: int, positions: int) -> None:
    """Raises NotServed unless a full context fits behind the virtual tokens."""
    if virtual_tokens + context_max > positions:
        raise NotServed(
            f"{virtual_tokens} virtual tokens and a context of {context_max} exceed the {positions} positions of the base.",
            fix=f"Set engine.context_max to at most {positions - virtual_tokens}.",
        )
