"""`POST /v1/chat/completions`: the body, the answer and the streamed chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from chiliad.engine import Grammar
from chiliad.server.errors import HttpError
from chiliad.server.tool_calls import Toolbox, call_text, result_text, toolbox
from chiliad.server.wire.request import MISSING_EVERYWHERE, TOKENS_MAX, GenerationBody, Missing
from chiliad.server.wire.structure import ResponseFormat, only_one, schema_grammar
from chiliad.server.wire.text import Text
from chiliad.server.wire.tools import TOOLS_MAX, PastCall, Tool, ToolCall, ToolCallDelta, ToolChoice
from chiliad.server.wire.usage import Usage

MESSAGES_MAX = 1024
PARTS_MAX = 256
TOP_LOGPROBS_MAX = 20

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
FinishReason = Literal["stop", "length", "tool_calls"]


class Part(BaseModel):
    """One piece of a message. Only text is read here."""

    model_config = ConfigDict(extra="ignore")
    type: Text
    text: Text | None = None


class Message(BaseModel):
    model_config = ConfigDict(extra="allow")
    role: Role
    content: Text | Annotated[list[Part], Field(max_length=PARTS_MAX, fail_fast=True)] | None = None
    tool_calls: Annotated[list[PastCall], Field(max_length=TOOLS_MAX)] | None = None

    def text(self, path: str) -> str:
        """The message as one string. `path` is where it stands in the body. Raises HttpError for anything but text."""
        if self.role == "function" or (self.model_extra or {}).get("function_call"):
            raise HttpError.unsupported(path, "The older form of tool calling")
        if self.tool_calls:
            said = self._content(path) if self.content else ""
            return "\n".join(filter(None, (said, call_text(self.tool_calls))))
        content = self._content(path)
        return result_text(content) if self.role == "tool" else content

    def _content(self, path: str) -> str:
        if isinstance(self.content, str):
            return self.content
        if self.content is None:
            raise HttpError.bad_value(f"{path}.content", "The message has no content.", fix="Give it a text.")
        return "".join(_part_text(part, f"{path}.content.{i}") for i, part in enumerate(self.content))


def _part_text(part: Part, path: str) -> str:
    if part.type != "text":
        raise HttpError.unsupported(path, f"Content of the type {part.type[:40]!r}")
    if part.text is None:
        raise HttpError.bad_value(f"{path}.text", "The text part has no text.", fix="Give it a text.")
    return part.text


class ChatBody(GenerationBody):
    missing: ClassVar[Mapping[str, Missing]] = {
        **MISSING_EVERYWHERE,
        "audio": Missing("Audio"),
        "function_call": Missing("The older form of tool calling", harmless=("none", "auto")),
        "functions": Missing("The older form of tool calling"),
        "modalities": Missing("Output other than text", harmless=(["text"],)),
        "web_search_options": Missing("Web search"),
    }

    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_MAX)]
    max_tokens: int | None = Field(default=None, ge=1, le=TOKENS_MAX)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=TOKENS_MAX)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=TOP_LOGPROBS_MAX)
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=TOOLS_MAX)] | None = None
    tool_choice: ToolChoice | None = None

    @property
    def toolbox(self) -> Toolbox | None:
        """The functions that the answer may call. Raises HttpError (400)."""
        return toolbox(self.tools, self.tool_choice)

    @property
    def grammar(self) -> Grammar | None:
        """What the answer has to look like. Raises HttpError (400)."""
        schema = self.response_format.schema_asked if self.response_format else None
        tools = self.toolbox
        if tools is not None:
            return only_one([tools.grammar(schema), *self.guided])
        return only_one(self.guided if schema is None else [schema_grammar("response_format", schema), *self.guided])

    @property
    def answer_tokens_max(self) -> int | None:
        """The newer of OpenAI's two names wins."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def logprobs_top(self) -> int | None:
        """How many alternatives to list beside each token; None lists no log-probabilities at all."""
        if not self.logprobs:
            if self.top_logprobs:
                raise HttpError.bad_value("top_logprobs", "It needs `logprobs`.", fix="Set `logprobs` to true.")
            return None
        return self.top_logprobs or 0

    def turns(self) -> tuple[dict[str, str], ...]:
        """The conversation as plain text turns, with one system turn at most, and that first.

        Chat templates take one system turn, so the texts of several (and of `developer`, its newer name) are joined, with
        what there is to call. What functions returned is told in user turns, several in a row in one.
        """
        texts = [(message.role, message.text(f"messages.{i}")) for i, message in enumerate(self.messages)]
        system = [text for role, text in texts if role in ("system", "developer")]
        if self.toolbox is not None:
            system.append(self.toolbox.prompt)
        turns = [{"role": "system", "content": "\n\n".join(system)}] if any(system) else []
        previous = None
        for role, text in texts:
            if role == previous == "tool":
                turns[-1]["content"] += "\n" + text
            elif role in ("user", "assistant", "tool"):
                turns.append({"role": "user" if role == "tool" else role, "content": text})
            previous = role
        return tuple(turns)


class TokenScore(TypedDict):
    token: str
    logprob: float
    bytes: list[int] | None


class ScoredToken(TokenScore):
    top_logprobs: list[TokenScore]


class ChatLogprobs(TypedDict):
    content: list[ScoredToken]
    refusal: None


class AnswerMessage(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: NotRequired[list[ToolCall]]


class ChatChoice(TypedDict):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(TypedDict):
    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallDelta]]


class ChunkChoice(TypedDict):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None


class ChatChunk(TypedDict):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]
    """present in every chunk if the client asked for it, and null in all but the last"""
