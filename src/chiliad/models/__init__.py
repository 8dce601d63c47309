"""Decoder architectures in plain PyTorch, one file each."""

from chiliad.models.llama import SITES, Attend, Group, Llama, LlamaConfig, Project

__all__ = ["SITES", "Attend", "Group", "Llama", "LlamaConfig", "Project"]
