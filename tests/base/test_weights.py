from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from chiliad.base.weights import bf16_bits, read_weights, write_weights
from chiliad.errors import BrokenBase


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50))
def test_bf16_rounding_is_that_of_torch(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    expected = torch.from_numpy(array).to(torch.bfloat16).view(torch.uint16).numpy()
    assert np.array_equal(bf16_bits(array), expected)


def test_bf16_rounds_ties_to_even_and_keeps_what_is_not_a_number() -> None:
    ties = np.array([0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x7F800000, 0x7FC00001, 0xFF800001], dtype=np.uint32)
    assert bf16_bits(ties.view(np.float32)).tolist() == [0x3F80, 0x3F82, 0x7F80, 0x7F80, 0x7FC0, 0x7FC0]


def test_what_is_written_is_what_torch_loads(tmp_path: Path) -> None:
    values = {
        "b": torch.randn(3, 5).to(torch.bfloat16),
        "a": torch.randn(7).to(torch.bfloat16),
        "empty": torch.empty(0, 4),
    }
    bits = {name: tensor.to(torch.bfloat16).view(torch.uint16).numpy() for name, tensor in values.items()}
    path = tmp_path / "model.safetensors"
    write_weights(path, {name: array.shape for name, array in bits.items()}, bits.__getitem__)
    loaded = load_file(path)
    assert all(torch.equal(loaded[name], values[name].to(torch.bfloat16)) for name in values)
    assert all(np.array_equal(read_weights(path)[name].bf16(), bits[name]) for name in values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_every_stored_type_is_read_as_bf16(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.randn(4, 6).to(dtype)
    save_file({"w": tensor}, tmp_path / "m.safetensors")
    expected = tensor.float().to(torch.bfloat16).view(torch.uint16).numpy()
    assert np.array_equal(read_weights(tmp_path / "m.safetensors")["w"].bf16(), expected)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    save_file({"a": torch.zeros(4), "b": torch.ones(4)}, whole)
    content = whole.read_bytes()
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(BrokenBase):
            read_weights(cut)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"w": 3},
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0]}},
        {"w": {"dtype": "F32", "shape": [5], "data_offsets": [0, 16]}},
        {"w": {"dtype": "F32", "shape": [-4], "data_offsets": [16, 0]}},
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}},
        {"w": {"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}},
        {"w": {"dtype": "F32", "shape": "4", "data_offsets": [0, 16]}},
        {"w": {"dtype": "I8", "shape": [16], "data_offsets": [0, 16]}},
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(BrokenBase):
        read_weights(path)
