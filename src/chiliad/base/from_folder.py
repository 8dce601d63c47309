"""A `transformers` model folder -> checkpoint. Only safetensors and JSON are read; pickled files never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chiliad.base.architecture import base_config
from chiliad.base.checkpoint import Checkpoint
from chiliad.base.template import fallback
from chiliad.base.tokenizer import read_special_tokens
from chiliad.base.weights import Bits, TensorView, read_weights
from chiliad.errors import BrokenBase

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_COMPUTED_ELSEWHERE = "rotary_emb.inv_freq"  # old checkpoints store what follows from rope_theta


def read_folder(folder: Path) -> Checkpoint:
    """Raises `BrokenBase` for a missing, damaged or pickled file and for another architecture."""
    given = _read_json(folder / "config.json")
    config = base_config(given)
    views = _tensors(folder)
    if config["tie_word_embeddings"]:
        views.pop("lm_head.weight", None)

    def read(name: str) -> Bits:
        return views[name].bf16()

    special = read_special_tokens(folder)
    tokenizer_json = _read_text(folder / "tokenizer.json")
    return Checkpoint(
        config=config,
        shapes={name: view.shape for name, view in views.items()},
        read=read,
        tokenizer_json=tokenizer_json,
        chat_template=_chat_template(folder, tokenizer_json),
        bos_token=special["bos_token"],
        eos_token=special["eos_token"],
        licence=_licence(folder),
        stored_types=frozenset(view.dtype for view in views.values()),
    )


def _tensors(folder: Path) -> dict[str, TensorView]:
    files = weight_files(folder)
    views = {name: view for file in files for name, view in read_weights(file).items()}
    return {name: view for name, view in views.items() if not name.endswith(_COMPUTED_ELSEWHERE)}


def weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(_read_json(index).get("weight_map", {}).values()))
        missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
        if missing:
            raise BrokenBase(f"{folder.name} lacks the shard {missing[0]}.", fix="Download the whole model folder.")
        return [folder / name for name in names]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    pickled = next((file.name for pattern in _PICKLED for file in folder.glob(pattern)), None)
    if pickled is not None:
        raise BrokenBase(
            f"{folder.name} has its weights in {pickled}, a pickled file, which can run any code when it is opened.",
            fix="Get the safetensors version of the model, or save it again with safe_serialization=True.",
        )
    raise BrokenBase(f"{folder.name} has no model.safetensors.", fix="Give a model folder with safetensors weights.")


def _chat_template(folder: Path, tokenizer_json: str) -> str:
    """From `chat_template.jinja`, else from `tokenizer_config.json`, else a plain one that fits the vocabulary."""
    if (folder / "chat_template.jinja").exists():
        return _read_text(folder / "chat_template.jinja")
    path = folder / "tokenizer_config.json"
    template = _read_json(path).get("chat_template") if path.exists() else None
    if isinstance(template, list):  # several templates by name
        template = next((each["template"] for each in template if each.get("name") == "default"), None)
    if template is not None:
        return str(template)
    return fallback(lambda token: f'"{token}"' in tokenizer_json)


def _licence(folder: Path) -> str:
    """The licence that the model card states in its front matter."""
    card = folder / "README.md"
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines() if card.exists() else []
    stated = (line.removeprefix("license:").strip() for line in lines[:100] if line.startswith("license:"))
    return next(stated, "unknown")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except ValueError as error:
        raise BrokenBase(f"{path.name} is not valid JSON ({error}).", fix="Fetch the model folder again.") from None
    if not isinstance(content, dict):
        raise BrokenBase(f"{path.name} holds no JSON object.", fix="Fetch the model folder again.")
    return content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BrokenBase(
            f"{path.parent.name} has no {path.name}.",
            fix="Give a model folder with config.json, tokenizer.json and safetensors weights.",
        ) from None
    except UnicodeDecodeError:
        raise BrokenBase(f"{path.name} is not UTF-8 text.", fix="Fetch the model folder again.") from None
