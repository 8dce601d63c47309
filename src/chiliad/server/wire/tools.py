"""Tools as OpenAI's chat completions describe and call them. Only functions are tools here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from chiliad.server.wire.structure import Schema
from chiliad.server.wire.text import Text

TOOLS_MAX = 128
FunctionName = Annotated[Text, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class Function(BaseModel):
    """Arguments are always kept to the schema, also with `strict` false."""

    model_config = ConfigDict(extra="ignore")
    name: FunctionName
    description: Text | None = None
    parameters: Schema | None = None


class Tool(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal["function"]
    function: Function


class NamedFunction(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: FunctionName


class NamedTool(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | NamedTool


class PastCallFunction(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: Text
    arguments: Text = "{}"


class PastCall(BaseModel):
    """A call that an earlier answer made, as the client sends it back."""

    model_config = ConfigDict(extra="ignore")
    function: PastCallFunction


class CalledFunction(TypedDict):
    name: str
    arguments: str
    """JSON, as text"""


class ToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction


class ToolCallDelta(ToolCall):
    index: int
