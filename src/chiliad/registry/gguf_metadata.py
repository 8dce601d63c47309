"""What a GGUF file says besides its tensors: sizes, tokenizer and chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gguf import GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, TokenType

from chiliad.base import SOURCE_GGUF, Base, ChatTemplate
from chiliad.errors import RegistryError
from chiliad.registry.expert import ExpertVersion

TEMPLATE_KEY = "tokenizer.chat_template"


def add_model_metadata(writer: GGUFWriter, version: ExpertVersion, base: Base, template: ChatTemplate) -> None:
    """Describe a merged model. Raises RegistryError for a tokenizer that GGUF has no known name for."""
    writer.add_name(str(version.ref))
    writer.add_license(base.licence)
    writer.add_file_type(LlamaFileType.MOSTLY_BF16)
    _add_sizes(writer, base.config)
    source = base.path / SOURCE_GGUF
    if source.is_file():
        _copy_tokenizer(writer, GGUFReader(source))
    else:
        _add_tokenizer(writer, json.loads((base.path / "tokenizer.json").read_text("utf-8")), base)
    writer.add_chat_template(template.source)


def _add_sizes(writer: GGUFWriter, config: Mapping[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])


def _copy_tokenizer(writer: GGUFWriter, reader: GGUFReader) -> None:
    """A base that was a GGUF file keeps the tokenizer that it came with."""
    for key, field in reader.fields.items():
        if key.startswith("tokenizer.") and key != TEMPLATE_KEY:
            kind = field.types[0]
            inner = field.types[-1] if kind is GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=inner)


def _add_tokenizer(writer: GGUFWriter, content: Mapping[str, Any], base: Base) -> None:
    """Describe a byte-level BPE `tokenizer.json` in llama.cpp's words."""
    model = content["model"]
    tokens = _tokens(content, base.config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer_name(content, base))
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    writer.add_add_bos_token(False)  # the chat template writes it where it belongs
    ids = {text: index for index, (text, _) in enumerate(tokens)}
    tokenizer = base.tokenizer()
    if tokenizer.bos_token in ids:
        writer.add_bos_token_id(ids[tokenizer.bos_token])
    if tokenizer.eos_token in ids:
        writer.add_eos_token_id(ids[tokenizer.eos_token])


def _tokens(content: Mapping[str, Any], vocab_size: int) -> list[tuple[str, TokenType]]:
    """Text and kind of every row of the embedding, by id; rows without a token are named so that nothing gives them."""
    tokens = [(f"[unused{index}]", TokenType.UNUSED) for index in range(vocab_size)]
    for text, index in content["model"]["vocab"].items():
        tokens[index] = (text, TokenType.NORMAL)
    for added in content.get("added_tokens", ()):
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]] = (added["content"], kind)
    return tokens


def _pre_tokenizer_name(content: Mapping[str, Any], base: Base) -> str:
    """llama.cpp's name for the way a `tokenizer.json` cuts text before merging. Raises RegistryError."""
    pre = content.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    byte_level = content["model"].get("type") == "BPE" and kinds[-1:] == ["ByteLevel"]
    if byte_level and kinds == ["ByteLevel"]:
        return "gpt-2"
    if byte_level and kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if byte_level and kinds == ["Split", "ByteLevel"] and r"\p{N}{1,3}" in steps[0]["pattern"].get("Regex", ""):
        return "llama-bpe"
    if byte_level and kinds == ["Split", "ByteLevel"] and r"|\p{N}|" in steps[0]["pattern"].get("Regex", ""):
        return "qwen2"
    raise RegistryError(
        f"The tokenizer of {base.id} has no known name in llama.cpp.",
        fix="Export with --format merged and convert that folder with llama.cpp's convert_hf_to_gguf.py.",
    )
