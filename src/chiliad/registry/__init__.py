"""Experts, their immutable versions, and the alias that says which one is live."""

from chiliad.registry.expert import ExpertFacts, ExpertVersion
from chiliad.registry.gate import Action, Comparison, Promotion
from chiliad.registry.ids import DatasetHash, ExpertName, ExpertRef, name_like
from chiliad.registry.registry import DATABASE_FILE, Draft, ExpertSummary, Registry, require_workspace

__all__ = [
    "DATABASE_FILE",
    "Action",
    "Comparison",
    "DatasetHash",
    "Draft",
    "ExpertFacts",
    "ExpertName",
    "ExpertRef",
    "ExpertSummary",
    "ExpertVersion",
    "Promotion",
    "Registry",
    "name_like",
    "require_workspace",
]
