"""`/v1/load_lora_adapter` and `/v1/unload_lora_adapter`: vLLM's bodies."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from chiliad.server.wire.text import Text


class LoadBody(BaseModel):
    model_config = ConfigDict(extra="ignore")
    lora_name: Text = Field(min_length=1, max_length=512)
    lora_path: Text = Field(min_length=1, max_length=4096)
    """inside the server's folder of adapters"""
    base_model_name: Text | None = Field(default=None, max_length=512)
    load_inplace: bool = False
    """in the place of what was loaded under this name"""


class UnloadBody(BaseModel):
    model_config = ConfigDict(extra="ignore")
    lora_name: Text = Field(min_length=1, max_length=512)
