from __future__ import annotations

import warnings

import pytest

from tests.engine.tiny import Tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    with warnings.catch_warnings():
        # transformers calls its own deprecated property while peft wraps a model
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        return Tiny.make(tmp_path_factory.mktemp("tiny"))
