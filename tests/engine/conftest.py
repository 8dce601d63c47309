from __future__ import annotations

import warnings

import pytest

from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.torch_runner import TorchRunner
from chiliad.kernels import path_in_use
from tests.engine.tiny import Tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    with warnings.catch_warnings():
        # transformers calls its own deprecated property while peft wraps a model
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        return Tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(params=["PyTorch", "native"])
def make_runner(tiny, request):
    """Makes a runner of either kind, for the same weights."""
    if request.param == "PyTorch":
        return lambda settings: TorchRunner(tiny.model, settings)
    if not NativeRunner.fits(tiny.bf16):
        pytest.skip(f"computes with {path_in_use()}")
    return lambda settings: NativeRunner(tiny.bf16, settings)
