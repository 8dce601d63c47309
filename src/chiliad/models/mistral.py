"""The Mistral decoder: Llama, in which a token may see only the last `sliding_window` tokens of each layer.

Source: Jiang et al. 2023 (arXiv 2310.06825). Later releases have no window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chiliad.models.llama import Llama
from chiliad.models.transformer import TransformerConfig


class MistralConfig(TransformerConfig):
    @classmethod
    def fields_of(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        fields, window = super().fields_of(config), config.get("sliding_window")
        return {**fields, "windows": (int(window),) * fields["num_layers"] if window else ()}


class Mistral(Llama):
    """Nothing else differs."""
