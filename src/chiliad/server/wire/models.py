"""`/v1/models`: base models and experts, in OpenAI's shape with vLLM's `root` and `parent`."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class Model(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    """seconds since 1970"""
    owned_by: str
    root: str
    """what the id stands for: `tickets@3` for `tickets`; a base's own id for a base"""
    parent: str | None
    """the base model that an expert stands on"""
    max_model_len: int
    """tokens, prompt and answer together"""
    precision: str
    """in which the base computes: bf16, int8 or int4"""
    description: str
    example: str | None
    """an input to try"""


class ModelDeleted(TypedDict):
    id: str
    object: Literal["model"]
    deleted: Literal[True]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]
