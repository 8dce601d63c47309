"""A model on its way in: what every kind of source is read into, and the base folder it is written out as."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chiliad.base.architecture import check_tensors
from chiliad.base.template import ChatTemplate
from chiliad.base.tokenizer import Tokenizer
from chiliad.base.weights import Bits, write_weights
from chiliad.errors import BadRequest, BrokenBase

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Checkpoint:
    """A model as read from its source. `tensors` gives each tensor's shape and a way to read it as bf16;
    `stored_types` names the number formats found in the source.
    """

    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Bits]
    tokenizer_json: str
    chat_template: str
    bos_token: str | None
    eos_token: str | None
    licence: str
    stored_types: frozenset[str]


def write_checkpoint(checkpoint: Checkpoint, folder: Path, on_progress: OnProgress) -> None:
    """Write the files that `transformers`, `peft` and we load: config, bf16 weights, tokenizer, chat template.

    Raises `BrokenBase` when the parts do not fit each other.
    """
    check_tensors(checkpoint.shapes, checkpoint.config)
    done = 0

    def read(name: str) -> Bits:
        nonlocal done
        done += 1
        on_progress("convert", done, len(checkpoint.shapes))
        return checkpoint.read(name)

    write_weights(folder / "model.safetensors", checkpoint.shapes, read)
    _write_json(folder / "config.json", checkpoint.config)
    (folder / "tokenizer.json").write_text(checkpoint.tokenizer_json, encoding="utf-8")
    (folder / "chat_template.jinja").write_text(checkpoint.chat_template, encoding="utf-8", newline="")
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(checkpoint))
    _check_text_parts(checkpoint, folder)


def _tokenizer_config(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": checkpoint.bos_token,
        "eos_token": checkpoint.eos_token,
        "clean_up_tokenization_spaces": False,
        "model_max_length": checkpoint.config["max_position_embeddings"],
    }


def _check_text_parts(checkpoint: Checkpoint, folder: Path) -> None:
    """Raises `BrokenBase` for a tokenizer or template that could not be used, now rather than at the first request."""
    tokens, rows = Tokenizer(folder / "tokenizer.json").vocab_size, checkpoint.config["vocab_size"]
    if tokens > rows:
        raise BrokenBase(
            f"The tokenizer has {tokens} tokens, but the model knows only {rows}.",
            fix="Use the tokenizer.json that belongs to these weights.",
        )
    try:
        ChatTemplate(checkpoint.chat_template, bos_token=None, eos_token=None).check()
    except BadRequest as error:
        raise BrokenBase(error.cause, fix="Correct the template in the source and pull it again.") from None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
