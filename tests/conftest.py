"""What every test may use: tiny random bases, one compute thread, and the real base when it is in the cache."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests run side by side; each gets one core."""
    import torch

    torch.set_num_threads(1)
