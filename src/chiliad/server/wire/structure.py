"""What an answer has to look like: OpenAI's `response_format`, and vLLM's `guided_*` fields."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chiliad.engine import Grammar, GrammarKind
from chiliad.server.errors import HttpError
from chiliad.server.wire.text import Nested, Text

SOURCE_CHARS_MAX = 100_000
CHOICES_MAX = 10_000
CHOICES_CHARS_MAX = 1_000_000
"""of all of them; they take 0.4 s to compile"""

Schema = Nested
Source = Annotated[Text, Field(min_length=1, max_length=SOURCE_CHARS_MAX)]


class NamedSchema(BaseModel):
    """The schema is always kept to, also with `strict` false."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    name: Text = ""
    content: Schema | None = Field(default=None, alias="schema")


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @property
    def schema_asked(self) -> Schema | None:
        """What the answer has to fit. Raises HttpError (400)."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return {"type": "object"}
        if self.json_schema is None or self.json_schema.content is None:
            raise HttpError.bad_value(
                "response_format", "The response format has no schema.", fix="Give it as json_schema.schema."
            )
        return self.json_schema.content


class GuidedFields(BaseModel):
    """vLLM's own fields, for both routes."""

    guided_json: Schema | Source | None = None
    guided_regex: Source | None = None
    guided_choice: Annotated[list[Text], Field(min_length=1, max_length=CHOICES_MAX)] | None = None
    guided_grammar: Source | None = None
    """a Lark grammar"""

    @property
    def guided(self) -> list[Grammar]:
        """The grammars that these fields name."""
        grammars = []
        if self.guided_json is not None:
            grammars.append(schema_grammar("guided_json", self.guided_json))
        if self.guided_regex is not None:
            grammars.append(Grammar(GrammarKind.REGEX, self.guided_regex))
        if self.guided_choice is not None:
            grammars.append(_one_of(self.guided_choice))
        if self.guided_grammar is not None:
            grammars.append(Grammar(GrammarKind.LARK, self.guided_grammar))
        return grammars


def _one_of(choices: list[str]) -> Grammar:
    if sum(map(len, choices)) > CHOICES_CHARS_MAX:
        fix = f"Keep them under {CHOICES_CHARS_MAX} characters together."
        raise HttpError.bad_value("guided_choice", "The choices are too long.", fix=fix)
    return Grammar(GrammarKind.REGEX, "|".join(re.escape(choice) for choice in choices))


def only_one(grammars: list[Grammar]) -> Grammar | None:
    """Raises HttpError (400) when a body asks for two things at once."""
    if len(grammars) > 1:
        raise HttpError.bad_value(
            "response_format",
            "The answer is asked to keep to several things.",
            fix="Give one of response_format and the guided_ fields.",
        )
    return grammars[0] if grammars else None


def schema_grammar(param: str, schema: Schema | str) -> Grammar:
    source = schema if isinstance(schema, str) else json.dumps(schema)
    if len(source) > SOURCE_CHARS_MAX:
        raise HttpError.bad_value(param, "The schema is too long.", fix=f"Keep it under {SOURCE_CHARS_MAX} characters.")
    return Grammar(GrammarKind.JSON_SCHEMA, source)
