"""The kinds of adapter that an expert can be."""

from __future__ import annotations

from enum import StrEnum


class AdapterKind(StrEnum):
    """What is trained for each adapted linear layer W, and so what an expert's file holds."""

    LORA = "lora"
    """two thin matrices: W + B A"""
    SHARED_BASIS = "shared-basis"
    """a small square core between thin matrices that all experts of a base share: W + U R V"""
    IA3 = "ia3"
    """a factor for every key, value and gated number"""
    PREFIX = "prefix"
    """keys and values that all tokens see before their own; computed in PyTorch alone"""
