"""`POST /v1/responses`: OpenAI's newer form of a conversation. Nothing is stored, so every request brings all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from chiliad.server.errors import HttpError
from chiliad.server.wire.chat import MESSAGES_MAX, PARTS_MAX, ChatBody, Message
from chiliad.server.wire.request import MISSING_EVERYWHERE, TOKENS_MAX, GenerationBody, Missing
from chiliad.server.wire.structure import NamedSchema, ResponseFormat, Schema
from chiliad.server.wire.text import Text
from chiliad.server.wire.tools import (
    TOOLS_MAX,
    Function,
    FunctionName,
    NamedFunction,
    NamedTool,
    PastCall,
    PastCallFunction,
    Tool,
)

Role = Literal["system", "developer", "user", "assistant"]
Status = Literal["in_progress", "completed", "incomplete", "failed"]
TEXT_PARTS = ("input_text", "output_text", "text")


class Part(BaseModel):
    """One piece of a message. Only text is read here."""

    model_config = ConfigDict(extra="ignore")
    type: Text
    text: Text | None = None


class Item(BaseModel):
    """A turn of the conversation, a call that an earlier answer made, or what that call returned."""

    model_config = ConfigDict(extra="ignore")
    type: Text = "message"
    role: Role | None = None
    content: Text | Annotated[list[Part], Field(max_length=PARTS_MAX, fail_fast=True)] | None = None
    name: Text | None = None
    arguments: Text | None = None
    output: Text | Annotated[list[Part], Field(max_length=PARTS_MAX, fail_fast=True)] | None = None

    def message(self, path: str) -> Message | None:
        """The same turn in a chat; None for what only the model that wrote it can read. Raises HttpError."""
        match self.type:
            case "message" if self.role is not None:
                return Message(role=self.role, content=_joined(self.content, f"{path}.content"))
            case "function_call" if self.name is not None:
                call = PastCallFunction(name=self.name, arguments=self.arguments or "{}")
                return Message(role="assistant", tool_calls=[PastCall(function=call)])
            case "function_call_output":
                return Message(role="tool", content=_joined(self.output, f"{path}.output"))
            case "reasoning":
                return None
            case "message" | "function_call":
                raise HttpError.bad_value(path, "The item is not whole.", fix="Give a role, or the name of a function.")
            case other:
                raise HttpError.unsupported(f"{path}.type", f"An item of the type {other[:40]!r}")


def _joined(content: str | list[Part] | None, path: str) -> str:
    if content is None:
        raise HttpError.bad_value(path, "The item has no text.", fix="Give it one.")
    if isinstance(content, str):
        return content
    for index, part in enumerate(content):
        if part.type not in TEXT_PARTS or part.text is None:
            raise HttpError.unsupported(f"{path}.{index}", f"Content of the type {part.type[:40]!r}")
    return "".join(part.text or "" for part in content)


class FlatTool(BaseModel):
    """A function, described without the level that chat completions put around it."""

    model_config = ConfigDict(extra="ignore")
    type: Text
    name: FunctionName | None = None
    description: Text | None = None
    parameters: Schema | None = None

    def tool(self, path: str) -> Tool:
        """Raises HttpError (400) for a tool that is no function."""
        if self.type != "function":
            raise HttpError.unsupported(f"{path}.type", f"The tool {self.type[:40]!r}")
        if self.name is None:
            raise HttpError.bad_value(f"{path}.name", "The function has no name.", fix="Give it one.")
        function = Function(name=self.name, description=self.description, parameters=self.parameters)
        return Tool(type="function", function=function)


class FlatNamedTool(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal["function"]
    name: FunctionName


class Format(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    type: Literal["text", "json_object", "json_schema"]
    content: Schema | None = Field(default=None, alias="schema")


class TextOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")
    format: Format | None = None

    @property
    def response_format(self) -> ResponseFormat | None:
        """As a chat completion is asked for it. Raises HttpError (400) for a schema that is not there."""
        if self.format is None:
            return None
        if self.format.type == "json_schema" and self.format.content is None:
            raise HttpError.bad_value("text.format.schema", "The format has no schema.", fix="Give it one.")
        schema = NamedSchema(schema=self.format.content) if self.format.content is not None else None
        return ResponseFormat(type=self.format.type, json_schema=schema)


class ResponsesBody(GenerationBody):
    """`store` is not looked at: an answer can't be asked for again, and says `store: false`."""

    missing: ClassVar[Mapping[str, Missing]] = {
        **MISSING_EVERYWHERE,
        "background": Missing("An answer in the background", harmless=(False,)),
        "conversation": Missing("A stored conversation"),
        "previous_response_id": Missing("Going on from a stored answer"),
        "prompt": Missing("A stored prompt"),
        "top_logprobs": Missing("Log-probabilities", harmless=(0,)),
        "truncation": Missing("Leaving out turns", harmless=("disabled",)),
    }

    input: Text | Annotated[list[Item], Field(min_length=1, max_length=MESSAGES_MAX)]
    instructions: Text | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=TOKENS_MAX)
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    tools: Annotated[list[FlatTool], Field(max_length=TOOLS_MAX)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FlatNamedTool | None = None

    def chat(self) -> ChatBody:
        """The same question to `/v1/chat/completions`. Raises HttpError (400)."""
        asked = self.model_dump(
            include={"model", "temperature", "top_p", "top_k", "seed", "stop", "priority", *_GUIDED}
        )
        return ChatBody.model_construct(
            **asked,
            store=False,
            messages=self._messages(),
            max_completion_tokens=self.max_output_tokens,
            response_format=self.text.response_format if self.text else None,
            tools=[tool.tool(f"tools.{i}") for i, tool in enumerate(self.tools or ())],
            tool_choice=self._chosen_tool(),
        )

    def _messages(self) -> list[Message]:
        items = [Item(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        told = [Message(role="system", content=self.instructions)] if self.instructions else []
        turns = [item.message(f"input.{index}") for index, item in enumerate(items)]
        return [*told, *(turn for turn in turns if turn is not None)]

    def _chosen_tool(self) -> Literal["none", "auto", "required"] | NamedTool | None:
        choice = self.tool_choice
        if isinstance(choice, FlatNamedTool):
            return NamedTool(type="function", function=NamedFunction(name=choice.name))
        return choice


_GUIDED = ("guided_json", "guided_regex", "guided_choice", "guided_grammar")


class OutputText(TypedDict):
    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class OutputMessage(TypedDict):
    type: Literal["message"]
    id: str
    role: Literal["assistant"]
    status: Status
    content: list[OutputText]


class OutputCall(TypedDict):
    type: Literal["function_call"]
    id: str
    call_id: str
    name: str
    arguments: str
    status: Status


Output = OutputMessage | OutputCall


class InputTokensDetails(TypedDict):
    cached_tokens: int


class OutputTokensDetails(TypedDict):
    reasoning_tokens: int


class ResponsesUsage(TypedDict):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int
    cost: NotRequired[float]
    """of one answer, as in chat completions"""


def responses_usage(input_tokens: int, output_tokens: int, cached_tokens: int) -> ResponsesUsage:
    return ResponsesUsage(
        input_tokens=input_tokens,
        input_tokens_details={"cached_tokens": cached_tokens},
        output_tokens=output_tokens,
        output_tokens_details={"reasoning_tokens": 0},
        total_tokens=input_tokens + output_tokens,
    )


class IncompleteDetails(TypedDict):
    reason: Literal["max_output_tokens"]


class Response(TypedDict):
    id: str
    object: Literal["response"]
    created_at: int
    model: str
    status: Status
    error: None
    incomplete_details: IncompleteDetails | None
    output: list[Output]
    usage: ResponsesUsage | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: None
    store: Literal[False]
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    top_p: float
    truncation: Literal["disabled"]
