"""Decoder architectures in plain PyTorch, one file each."""

from chiliad.models.llama import Attend, Group, Llama, LlamaConfig, Project

__all__ = ["Attend", "Group", "Llama", "LlamaConfig", "Project"]
