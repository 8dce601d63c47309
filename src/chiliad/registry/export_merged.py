"""Export as a complete model: the base with the adapter merged in, a folder that `transformers` loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from chiliad.adapters.merge import Deltas
from chiliad.base import Base
from chiliad.base.weights import read_weights, write_weights
from chiliad.registry.expert import ExpertVersion
from chiliad.registry.export_peft import SIDE_FILES, check_unchanged, refuse_existing
from chiliad.registry.merged import MergedWeights, Parity
from chiliad.store.files import staged_folder

ComparePredictions = Callable[[Path], float]
"""the largest difference of log-probabilities between the merged model in a folder and the expert as it is served"""

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def export_merged(
    version: ExpertVersion, source: Path, base: Base, target: Path, *, compare: ComparePredictions | None = None
) -> Parity:
    """Write the merged model into the new folder `target`; it appears only if it reads back right.

    Raises WrongBase, RegistryError (`target` exists, changed files, parity), StoreError.
    """
    refuse_existing(target)
    weights = open_merged(version, source, base)
    with staged_folder(target) as stage:
        write_weights(stage / "model.safetensors", weights.shapes, weights.bf16)
        _write_text_parts(base, source, stage)
        written = read_weights(stage / "model.safetensors")
        parity = weights.parity(lambda name: written[name].bf16())
        return replace(parity, logprob_difference_max=compare(stage) if compare else None)


def open_merged(version: ExpertVersion, source: Path, base: Base) -> MergedWeights:
    """The merged weights of a version. Raises WrongBase or RegistryError when its files or the base don't fit."""
    version.require_base(base.id, base.fingerprint)
    check_unchanged(version, source)
    return MergedWeights(base, Deltas.of_version(source, base_fingerprint=base.fingerprint))


def _write_text_parts(base: Base, source: Path, stage: Path) -> None:
    """Settings, tokenizer and the expert's own template; the card says what the model is worth."""
    (stage / "config.json").write_text(json.dumps(base.config, indent=2) + "\n", "utf-8")
    for folder, names in ((base.path, TOKENIZER_FILES), (source, SIDE_FILES)):
        for name in names:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, stage / name)
