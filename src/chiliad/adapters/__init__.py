"""Adapters as data: tensors by (layer, site), in PEFT's file format."""

from chiliad.adapters.files import content_hash, load_adapter, save_adapter
from chiliad.adapters.lora import AdapterHash, LoraAdapter, LoraShape

__all__ = ["AdapterHash", "LoraAdapter", "LoraShape", "content_hash", "load_adapter", "save_adapter"]
