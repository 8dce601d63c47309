"""Tiny random llama models, written as GGUF files and as model folders; and changed on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from tokenizers.pre_tokenizers import ByteLevel

from chiliad.base.checkpoint import write_checkpoint
from chiliad.base.from_gguf import read_gguf

HIDDEN, WIDE, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 64, 96, 2, 4, 2, 16
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "h e", "Ġt he", "Ġ Ġ", "i n", "Ġ a", "1 2", "s t"]
TOKENS = [*SPECIAL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def shapes() -> dict[str, tuple[int, ...]]:
    """GGUF tensor names and shapes in numpy order."""
    layer = {
        "attn_norm": (HIDDEN,),
        "attn_q": (HEADS * HEAD_DIM, HIDDEN),
        "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN),
        "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN),
        "attn_output": (HIDDEN, HEADS * HEAD_DIM),
        "ffn_norm": (HIDDEN,),
        "ffn_gate": (WIDE, HIDDEN),
        "ffn_up": (WIDE, HIDDEN),
        "ffn_down": (HIDDEN, WIDE),
    }
    blocks = {f"blk.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in layer.items()}
    return {"token_embd.weight": (len(TOKENS), HIDDEN), **blocks, "output_norm.weight": (HIDDEN,)}


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    quantisation: GGMLQuantizationType = GGMLQuantizationType.F32,
    tensors: Mapping[str, tuple[int, ...]] | None = None,
    vocabulary: Callable[[GGUFWriter], None] | None = None,
    change: Callable[[GGUFWriter], None] | None = None,
    seed: int = 0,
) -> Path:
    """A GGUF file with random weights; matrices are stored as `quantisation`, vectors as float32."""
    rng = np.random.default_rng(seed)
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    (vocabulary or byte_level_vocabulary)(writer)
    if change is not None:
        change(writer)
    for name, shape in (tensors or shapes()).items():
        values = rng.normal(scale=0.2, size=shape).astype(np.float32)
        kind = quantisation if len(shape) == 2 else GGMLQuantizationType.F32
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def byte_level_vocabulary(writer: GGUFWriter, *, pre: str = "smollm") -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)


def write_folder(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """A model folder as `transformers` saves it (bf16, tied), with `config` put over its settings."""
    folder.mkdir(parents=True)
    gguf = write_gguf(folder / "tiny.gguf", seed=seed)
    write_checkpoint(read_gguf(gguf), folder, lambda stage, done, total: None)
    gguf.unlink()
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **config}))
    return folder
