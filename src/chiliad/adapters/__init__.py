"""Adapters as data: tensors by (layer, site), in PEFT's file format."""

from chiliad.adapters.basis import Basis, BasisFolder, BasisHash
from chiliad.adapters.cores import CoreAdapter, CoreShape
from chiliad.adapters.files import (
    Adapter,
    AdapterShape,
    Factors,
    LoadedAdapter,
    always_active,
    as_lora,
    begin_loading,
    content_hash,
    kind_of,
    load_adapter,
    save_adapter,
)
from chiliad.adapters.ia3 import Ia3Adapter, Ia3Shape
from chiliad.adapters.kinds import AdapterKind
from chiliad.adapters.lora import AdapterHash, LoraAdapter, LoraShape
from chiliad.adapters.prefix import PrefixAdapter, PrefixShape

__all__ = [
    "Adapter",
    "AdapterHash",
    "AdapterKind",
    "AdapterShape",
    "Basis",
    "BasisFolder",
    "BasisHash",
    "CoreAdapter",
    "CoreShape",
    "Factors",
    "Ia3Adapter",
    "Ia3Shape",
    "LoadedAdapter",
    "LoraAdapter",
    "LoraShape",
    "PrefixAdapter",
    "PrefixShape",
    "always_active",
    "as_lora",
    "begin_loading",
    "content_hash",
    "kind_of",
    "load_adapter",
    "save_adapter",
]
