"""One version of an expert, as `expert.json` in its folder tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chiliad.errors import RegistryError, WrongBase
from chiliad.registry.ids import DatasetHash, ExpertName, ExpertRef
from chiliad.store import VersionRow

if TYPE_CHECKING:
    from chiliad.adapters import AdapterHash

EXPERT_FILE = "expert.json"


@dataclass(frozen=True, kw_only=True)
class ExpertFacts:
    """What the maker of a version knows about it."""

    base_id: str
    base_fingerprint: str
    kind: str
    """the kind of task: labels, json or text"""
    choices: tuple[str, ...] = ()
    """the output contract of a closed answer set; empty when answers are free"""
    instruction: str | None = None
    dataset_hash: DatasetHash | None = None
    parent: int | None = None
    """the version of this expert that training started from"""
    training: Mapping[str, Any] = field(default_factory=dict)
    """how it was made: settings, seconds, tokens, or where it was imported from"""


@dataclass(frozen=True, kw_only=True)
class ExpertVersion(ExpertFacts):
    """An immutable version: equal adapter hashes mean equal answers on the same base."""

    name: ExpertName
    number: int
    adapter_hash: AdapterHash
    created: datetime

    @property
    def ref(self) -> ExpertRef:
        return ExpertRef(self.name, self.number)

    @property
    def facts(self) -> ExpertFacts:
        return ExpertFacts(**{f.name: getattr(self, f.name) for f in fields(ExpertFacts)})

    def require_base(self, base_id: str, fingerprint: str) -> None:
        """Raises WrongBase unless this version was made for that base."""
        if fingerprint != self.base_fingerprint:
            raise WrongBase(
                f"{self.ref} was made for {self.base_id} ({self.base_fingerprint[:12]}), "
                f"not for {base_id} ({fingerprint[:12]}).",
                fix=f"Pull {self.base_id} again, or train {self.name} on {base_id}.",
            )

    def to_document(self) -> dict[str, Any]:
        """The JSON object of `expert.json`."""
        return {**vars(self), "choices": list(self.choices), "created": self.created.isoformat()}

    def to_row(self) -> VersionRow:
        """This version as the database keeps it."""
        return VersionRow(self.name, self.number, self.adapter_hash, self.dataset_hash, self.to_document())

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Raises RegistryError when fields are missing or of the wrong kind."""
        try:
            return cls(
                **{
                    **document,
                    "choices": tuple(document["choices"]),
                    "created": datetime.fromisoformat(document["created"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _broken(f"an expert's record ({error})") from error

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a version's folder. Raises RegistryError when `expert.json` is missing or broken."""
        path = folder / EXPERT_FILE
        try:
            document = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise _broken(f"{path} ({error})") from error
        if not isinstance(document, dict):
            raise _broken(f"{path}, which is not a JSON object")
        return cls.from_document(document)


def _broken(what: str) -> RegistryError:
    return RegistryError(f"Cannot read {what}.", fix="Bring the file back from a backup, or remove the folder.")
