"""Texts as vectors whose dot product says how alike they are: one small offline default behind an interface."""

from chiliad.embeddings.embedder import Embedder, Vectors
from chiliad.embeddings.minilm import MiniLM

__all__ = ["Embedder", "MiniLM", "Vectors"]
