"""What every request body shares: unknown fields are ignored, features that we do not have are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from chiliad.engine import Grammar
from chiliad.server.errors import HttpError
from chiliad.server.wire.listing import Metadata
from chiliad.server.wire.structure import GuidedFields, only_one
from chiliad.server.wire.text import Text

STOPS_MAX = 16
STOP_CHARS_MAX = 1024
CHOICES_MAX = 128
"""answers that one request may ask for, over all its prompts"""
TOKENS_MAX = 1 << 20
SEED_MAX = (1 << 63) - 1
PRIORITY_MAX = 1000


StopString = Annotated[Text, Field(min_length=1, max_length=STOP_CHARS_MAX)]


@dataclass(frozen=True)
class Missing:
    """A field of OpenAI's that stands for a feature we do not have. A value in `harmless` asks for nothing."""

    feature: str
    harmless: tuple[Any, ...] = ()

    def asked(self, value: Any) -> bool:
        return value is not None and value != [] and value != {} and value not in self.harmless


MISSING_EVERYWHERE: Mapping[str, Missing] = {
    "frequency_penalty": Missing("A frequency penalty", harmless=(0,)),
    "presence_penalty": Missing("A presence penalty", harmless=(0,)),
    "repetition_penalty": Missing("A repetition penalty", harmless=(1,)),
    "min_p": Missing("min_p sampling", harmless=(0,)),
    "logit_bias": Missing("Biasing single tokens"),
    "structured_outputs": Missing("vLLM's newer name for the guided_ fields"),
}


class RequestBody(BaseModel):
    """The base of every request body.

    Fields that no model names are kept in `model_extra`, only so that `refuse_missing` can look at them.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    missing: ClassVar[Mapping[str, Missing]] = MISSING_EVERYWHERE

    def refuse_missing(self) -> None:
        """Raise HttpError (400, `unsupported_feature`) if the body asks for something that this server does not have."""
        for field, value in (self.model_extra or {}).items():
            missing = self.missing.get(field)
            if missing is not None and missing.asked(value):
                raise HttpError.unsupported(field, missing.feature)


class StreamOptions(BaseModel):
    include_usage: bool = False


class GenerationBody(RequestBody, GuidedFields):
    """The fields that chat completions and completions have in common.

    An absent `temperature` means 0: an expert answers the way its card was measured, unless asked otherwise.
    """

    model: Text = Field(min_length=1, max_length=512)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    """not OpenAI's; 0 and -1 both mean every token, as clients of vLLM send it"""
    seed: int | None = Field(default=None, ge=-SEED_MAX - 1, le=SEED_MAX)
    stop: StopString | Annotated[list[StopString], Field(max_length=STOPS_MAX)] | None = None
    n: int | None = Field(default=None, ge=1, le=CHOICES_MAX)
    store: bool | None = None
    """whether the answer is kept for feedback; None leaves it to the workspace"""
    metadata: Metadata | None = None
    priority: int | None = Field(default=None, ge=0, le=PRIORITY_MAX)
    """vLLM's, where the lowest comes first. A client can only let others go before it: 0 is where all of them begin"""

    @property
    def engine_priority(self) -> int:
        """The engine's, where the highest comes first."""
        return -(self.priority or 0)

    @property
    def grammar(self) -> Grammar | None:
        """What the answer has to look like. Raises HttpError (400)."""
        return only_one(self.guided)

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage
