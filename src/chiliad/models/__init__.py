"""Decoder architectures in plain PyTorch, one file each."""

from chiliad.models.llama import SITES, Attend, Group, Llama, LlamaConfig, Project, head_name, weight_names
from chiliad.models.threads import use_threads

__all__ = ["SITES", "Attend", "Group", "Llama", "LlamaConfig", "Project", "head_name", "use_threads", "weight_names"]
