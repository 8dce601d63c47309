"""Base models: fetched, converted once, fingerprinted; with their tokenizer and chat template."""

from chiliad.base.catalog import DEFAULT_BASE
from chiliad.base.from_gguf import SOURCE_GGUF
from chiliad.base.quantised import QuantisedTensor, ReadQuantised
from chiliad.base.store import Base, BaseStore
from chiliad.base.template import ChatTemplate, compact_template
from chiliad.base.tokenizer import StreamDecoder, Tokenizer

__all__ = [
    "DEFAULT_BASE",
    "SOURCE_GGUF",
    "Base",
    "BaseStore",
    "ChatTemplate",
    "QuantisedTensor",
    "ReadQuantised",
    "StreamDecoder",
    "Tokenizer",
    "compact_template",
]
