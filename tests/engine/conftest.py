from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from chiliad.config import Precision
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.torch_runner import TorchRunner
from chiliad.kernels import path_in_use
from tests.engine.tiny import SETTINGS, Tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    with warnings.catch_warnings():
        # transformers calls its own deprecated property while peft wraps a model
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        return Tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(params=["PyTorch", *Precision])
def make_runner(tiny, request):
    """Makes a runner of either kind, for the same weights, the native one in every precision."""
    if request.param == "PyTorch":
        return lambda settings: TorchRunner(tiny.model, settings)
    if not NativeRunner.fits(tiny.bf16, SETTINGS):
        pytest.skip(f"computes with {path_in_use()}")
    return lambda settings: NativeRunner(tiny.bf16, replace(settings, precision=request.param))
