"""Export for llama.cpp and Ollama: the merged model and the adapter alone as GGUF, and a Modelfile.

llama.cpp rotates neighbouring rows of the query and key matrices where `transformers` rotates rows half a head apart,
so those rows change places on the way out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFReader, GGUFWriter, TensorNameMap, get_tensor_name_map

from chiliad.adapters.merge import Deltas
from chiliad.base import Base, ChatTemplate, compact_template
from chiliad.base.from_gguf import read_gguf
from chiliad.errors import RegistryError
from chiliad.registry.expert import ExpertVersion
from chiliad.registry.export_merged import open_merged
from chiliad.registry.export_peft import files_of, refuse_existing
from chiliad.registry.gguf_metadata import add_model_metadata
from chiliad.registry.merged import MergedWeights, Parity, widened
from chiliad.registry.modelfile import modelfile
from chiliad.store.files import staged_folder, write_atomic

MODEL_FILE, LORA_FILE, MODELFILE = "expert.gguf", "lora.gguf", "Modelfile"
TEMPLATE_FILE = "chat_template.jinja"
ARCHITECTURE = "llama"

Values = npt.NDArray[Any]


def export_gguf(version: ExpertVersion, source: Path, base: Base, target: Path) -> Parity:
    """Write expert.gguf (bf16), lora.gguf and Modelfile into the new folder `target`, once they read back right.

    Raises WrongBase, StoreError, and RegistryError: `target` exists, the version's files were changed, something reads
    back differently, or the tokenizer has no name in GGUF.
    """
    refuse_existing(target)
    weights = open_merged(version, source, base)
    template = _template(source, base)
    with staged_folder(target) as stage:
        _write_model(stage / MODEL_FILE, version, base, template, weights)
        _write_lora(stage / LORA_FILE, version, base, weights.deltas)
        write_atomic(stage / MODELFILE, modelfile(version, template, base))
        for path in files_of(source):
            if path.name.startswith(("card.", "expert.")):
                write_atomic(stage / path.name, path.read_bytes())
        _check_lora(stage / LORA_FILE, base, weights.deltas)
        return weights.parity(read_gguf(stage / MODEL_FILE).read)


@dataclass(frozen=True)
class _Tensor:
    """One tensor to write; `read` makes its values when their turn comes."""

    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    read: Callable[[], Values]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * (2 if self.kind is GGMLQuantizationType.BF16 else 4)


def _write_model(
    path: Path, version: ExpertVersion, base: Base, template: ChatTemplate, weights: MergedWeights
) -> None:
    writer = GGUFWriter(path, ARCHITECTURE)
    add_model_metadata(writer, version, base, template)
    names = _names(base)
    _write(writer, {_gguf_name(names, name): _model_tensor(weights, name, base) for name in weights.shapes})


def _model_tensor(weights: MergedWeights, name: str, base: Base) -> _Tensor:
    """llama.cpp computes norms in float32 and reads matrices as bf16."""
    shape = weights.shapes[name]
    if len(shape) == 1:
        return _Tensor(shape, GGMLQuantizationType.F32, lambda: widened(weights.bf16(name)))
    return _Tensor(shape, GGMLQuantizationType.BF16, lambda: _rope_pairs(weights.bf16(name), name, base))


def _write_lora(path: Path, version: ExpertVersion, base: Base, deltas: Deltas) -> None:
    """The adapter alone, for `llama-server --lora`, in float32. The scale is inside B, so alpha is the rank."""
    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(deltas.rank))
    writer.add_name(str(version.ref))
    float32 = GGMLQuantizationType.F32
    tensors = _lora_tensors(base, deltas)
    _write(
        writer,
        {name: _Tensor(values.shape, float32, partial(tensors.__getitem__, name)) for name, values in tensors.items()},
    )


def _write(writer: GGUFWriter, tensors: Mapping[str, _Tensor]) -> None:
    """Write metadata, then one tensor at a time."""
    for name, tensor in tensors.items():
        writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), tensor.bytes, raw_dtype=tensor.kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors.values():
            writer.write_tensor_data(np.ascontiguousarray(tensor.read()))
    finally:
        writer.close()


def _check_lora(path: Path, base: Base, deltas: Deltas) -> None:
    written = {tensor.name: tensor.data for tensor in GGUFReader(path).tensors}
    wanted = _lora_tensors(base, deltas)
    if written.keys() != wanted.keys() or not all(np.array_equal(written[name], wanted[name]) for name in wanted):
        raise RegistryError(f"{path.name} reads back differently from what was written.", fix="Check the disk.")


def _lora_tensors(base: Base, deltas: Deltas) -> dict[str, Values]:
    names = _names(base)
    tensors: dict[str, Values] = {}
    for name in deltas:
        a, b = deltas.factors(name)
        tensors[f"{_gguf_name(names, name)}.lora_a"] = a
        tensors[f"{_gguf_name(names, name)}.lora_b"] = _rope_pairs(b, name, base)
    return tensors


def _rope_pairs(rows: Values, name: str, base: Base) -> Values:
    """[out, columns] of a query or key matrix in llama.cpp's row order; any other tensor as it is."""
    if name.endswith("q_proj.weight"):
        heads = base.config["num_attention_heads"]
    elif name.endswith("k_proj.weight"):
        heads = base.config["num_key_value_heads"]
    else:
        return rows
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def _names(base: Base) -> TensorNameMap:
    return get_tensor_name_map(MODEL_ARCH.LLAMA, base.config["num_hidden_layers"])


def _gguf_name(names: TensorNameMap, name: str) -> str:
    found = names.get_name(name, try_suffixes=(".weight",))
    assert found is not None, f"a llama model has no tensor {name}"
    return str(found)


def _template(source: Path, base: Base) -> ChatTemplate:
    compact = compact_template(base.chat_template())
    own = source / TEMPLATE_FILE
    if not own.is_file():
        return compact
    return ChatTemplate(own.read_bytes().decode("utf-8"), bos_token=compact.bos_token, eos_token=compact.eos_token)
