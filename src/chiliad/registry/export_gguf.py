"""Export for llama.cpp and Ollama: the merged model and the adapter alone as GGUF, and a Modelfile.

What llama.cpp keeps in another order or form than `transformers` (`base/gguf_names.py`) is changed on the way out.
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
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from chiliad.adapters.merge import Deltas
from chiliad.base import Base, ChatTemplate, compact_template
from chiliad.base.checkpoint import Checkpoint
from chiliad.base.fingerprint import OWN_TO_SOME
from chiliad.base.from_gguf import read_gguf
from chiliad.base.gguf_names import ARCHITECTURES, gguf_name, in_gguf_numbers, in_gguf_order
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

Values = npt.NDArray[Any]


def export_gguf(version: ExpertVersion, source: Path, base: Base, target: Path) -> Parity:
    """Write expert.gguf (bf16), lora.gguf and Modelfile into the new folder `target`, once they read back right.

    Raises WrongBase, StoreError, and RegistryError: `target` exists, the version's files were changed, something reads
    back differently, or the tokenizer or the windows of the base cannot be described in GGUF.
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
        for path in base.terms:
            write_atomic(stage / path.name, path.read_bytes())
        _check_lora(stage / LORA_FILE, base, weights.deltas)
        written = read_gguf(stage / MODEL_FILE)
        _check_settings(written, base)
        return weights.parity(written.read)


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
    writer = GGUFWriter(path, ARCHITECTURES[base.config["model_type"]])
    add_model_metadata(writer, version, base, template)
    _write(writer, {gguf_name(name, base.config): _model_tensor(weights, name, base) for name in weights.shapes})


def _model_tensor(weights: MergedWeights, name: str, base: Base) -> _Tensor:
    """llama.cpp computes norms and biases in float32 and reads matrices as bf16."""
    shape = weights.shapes[name]
    if len(shape) == 1:
        vector = lambda: in_gguf_numbers(name, widened(weights.bf16(name)), base.config)  # noqa: E731
        return _Tensor(shape, GGMLQuantizationType.F32, vector)
    return _Tensor(shape, GGMLQuantizationType.BF16, lambda: in_gguf_order(name, weights.bf16(name), base.config))


def _write_lora(path: Path, version: ExpertVersion, base: Base, deltas: Deltas) -> None:
    """The adapter alone, for `llama-server --lora`, in float32. The scale is inside B, so alpha is the rank."""
    writer = GGUFWriter(path, ARCHITECTURES[base.config["model_type"]])
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


def _check_settings(written: Checkpoint, base: Base) -> None:
    """llama.cpp takes some settings for granted, or leaves them out."""
    lost = [key for key in OWN_TO_SOME if base.config.get(key) and written.config.get(key) != base.config[key]]
    if lost:
        raise RegistryError(
            f"llama.cpp would not compute {base.id} as it is: {', '.join(lost)}.", fix="Export with --format merged."
        )


def _check_lora(path: Path, base: Base, deltas: Deltas) -> None:
    written = {tensor.name: tensor.data for tensor in GGUFReader(path).tensors}
    wanted = _lora_tensors(base, deltas)
    if written.keys() != wanted.keys() or not all(np.array_equal(written[name], wanted[name]) for name in wanted):
        raise RegistryError(f"{path.name} reads back differently from what was written.", fix="Check the disk.")


def _lora_tensors(base: Base, deltas: Deltas) -> dict[str, Values]:
    tensors: dict[str, Values] = {}
    for name in deltas:
        a, b = deltas.factors(name)
        tensors[f"{gguf_name(name, base.config)}.lora_a"] = a
        tensors[f"{gguf_name(name, base.config)}.lora_b"] = in_gguf_order(name, b, base.config)
    return tensors


def _template(source: Path, base: Base) -> ChatTemplate:
    compact = compact_template(base.chat_template())
    own = source / TEMPLATE_FILE
    if not own.is_file():
        return compact
    return ChatTemplate(own.read_bytes().decode("utf-8"), bos_token=compact.bos_token, eos_token=compact.eos_token)
