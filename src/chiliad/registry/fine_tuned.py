"""Names of fine-tuned models, the way OpenAI writes them: ft:BASE:ORGANIZATION:SUFFIX:ID.

Such a name stands for one version of an expert for ever. The suffix is the expert's name; without one the expert is named
after the id. The version's own record says which name it was made under.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from chiliad.errors import ExpertNotFound
from chiliad.registry.ids import is_name

PREFIX = "ft:"
RECORDED_AS = "fine_tuned_model"
"""the field of a version's `training` that holds its name"""


@dataclass(frozen=True)
class FineTunedName:
    base: str
    organization: str
    suffix: str
    """may be empty"""
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ExpertNotFound: what cannot be such a name refers to nothing."""
        parts = text.removeprefix(PREFIX).split(":")
        if not text.startswith(PREFIX) or len(parts) != 4 or not is_name(parts[2] or f"ft-{parts[3]}"):
            raise ExpertNotFound(
                f"{text[:200]!r} is not a fine-tuned model.",
                fix="Write it as the job gives it: ft:BASE:ORGANIZATION:SUFFIX:ID.",
            )
        return cls(*parts)

    @property
    def expert(self) -> str:
        """The name of the expert that it is a version of."""
        return self.suffix or f"ft-{self.id}"

    def __str__(self) -> str:
        return f"{PREFIX}{self.base}:{self.organization}:{self.suffix}:{self.id}"
