"""`/v1/evals`: what is measured, the runs of it, and what each item gave, in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from chiliad.server.errors import HttpError
from chiliad.server.wire.criteria import AnyCriterion, Finite, Turns, refuse_elsewhere
from chiliad.server.wire.listing import Id, Metadata
from chiliad.server.wire.request import RequestBody
from chiliad.server.wire.responses import FlatTool, TextOptions
from chiliad.server.wire.text import JsonObject, Text
from chiliad.server.wire.tools import TOOLS_MAX

CRITERIA_MAX = 64
ITEMS_MAX = 10_000
NAME_LENGTH_MAX = 256

RunStatus = Literal["queued", "in_progress", "paused", "completed", "failed", "canceled"]
Name = Annotated[Text, Field(max_length=NAME_LENGTH_MAX)]


class CustomConfig(BaseModel):
    """As a client writes it, or as OpenAI's API gave it back: an eval that was exported there is taken as it is."""

    type: Literal["custom"]
    item_schema: JsonObject | None = None
    exported: JsonObject | None = Field(default=None, alias="schema")
    include_sample_schema: bool = False

    @model_validator(mode="after")
    def _has_a_schema(self) -> Self:
        if self.item_schema is None and self.exported is None:
            raise ValueError("`item_schema` is missing")
        return self

    @property
    def whole_schema(self) -> dict[str, Any]:
        """Of a row: its item, and the sample if there is one."""
        if self.item_schema is None:
            assert self.exported is not None, "one of the two is given"
            return self.exported
        parts: dict[str, Any] = {"item": self.item_schema}
        if self.include_sample_schema:
            parts["sample"] = {"type": "object", "properties": {"output_text": {"type": "string"}}}
        return {"type": "object", "properties": parts, "required": list(parts)}


class StoredConfig(BaseModel):
    type: Literal["stored_completions", "logs"]


class EvalBody(RequestBody):
    name: Name | None = None
    metadata: Metadata | None = None
    data_source_config: Annotated[CustomConfig | StoredConfig, Field(discriminator="type")]
    testing_criteria: Annotated[list[AnyCriterion], Field(min_length=1, max_length=CRITERIA_MAX)]

    def document(self) -> dict[str, Any]:
        """What is kept of it. Raises HttpError (400) for what this server does not have."""
        config = self.data_source_config
        if isinstance(config, StoredConfig):
            raise HttpError.unsupported("data_source_config.type", "An eval over stored completions")
        refuse_elsewhere(self.testing_criteria)
        return {
            "name": self.name or "",
            "metadata": self.metadata,
            "data_source_config": {"type": "custom", "schema": config.whole_schema},
            "testing_criteria": [one.model_dump(exclude_none=True) for one in self.testing_criteria],
        }


class EvalChanges(RequestBody):
    name: Name | None = None
    metadata: Metadata | None = None

    def changes(self) -> dict[str, Any]:
        """The fields that are given; a name that is null stays as it is, metadata that are null go."""
        given = self.model_dump(include=self.model_fields_set & {"name", "metadata"})
        return {field: value for field, value in given.items() if field != "name" or value is not None}


class Row(BaseModel):
    """Fields beside these two are ignored, as in OpenAI's files."""

    model_config = ConfigDict(extra="ignore")
    item: JsonObject
    sample: JsonObject | None = None


class FileContent(BaseModel):
    type: Literal["file_content"]
    content: Annotated[list[Row], Field(min_length=1, max_length=ITEMS_MAX)]


class FileId(BaseModel):
    type: Literal["file_id"]
    id: Id


class StoredSource(BaseModel):
    """What OpenAI kept of its own answers."""

    type: Literal["stored_completions", "responses"]


class Jsonl(BaseModel):
    """Rows that hold the answers to be graded."""

    type: Literal["jsonl"]
    source: Annotated[FileContent | FileId, Field(discriminator="type")]


class TemplateMessages(BaseModel):
    type: Literal["template"]
    template: Turns


class ItemMessages(BaseModel):
    type: Literal["item_reference"]
    item_reference: Annotated[Text, Field(min_length=1, max_length=512)]


class Sampled(BaseModel):
    """Rows that a model here answers first."""

    source: Annotated[FileContent | FileId | StoredSource, Field(discriminator="type")]
    model: Annotated[Text, Field(min_length=1, max_length=512)]
    input_messages: Annotated[TemplateMessages | ItemMessages, Field(discriminator="type")]


class Completions(Sampled):
    type: Literal["completions"]
    sampling_params: JsonObject | None = None

    @property
    def sampling(self) -> Mapping[str, Any]:
        """They go into the chat completion as they are."""
        return self.sampling_params or {}


class ResponsesSampling(BaseModel):
    model_config = ConfigDict(extra="ignore")
    max_completion_tokens: int | None = None
    seed: int | None = None
    temperature: Finite | None = None
    top_p: Finite | None = None
    text: TextOptions | None = None
    tools: Annotated[list[FlatTool], Field(max_length=TOOLS_MAX)] | None = None


class Responses(Sampled):
    """The same, asked in the words of the newer route."""

    type: Literal["responses"]
    sampling_params: ResponsesSampling | None = None

    @property
    def sampling(self) -> Mapping[str, Any]:
        """In the words of a chat completion. Raises HttpError (400) for a tool that is no function."""
        given = self.sampling_params or ResponsesSampling()
        asked = given.model_dump(include={"max_completion_tokens", "seed", "temperature", "top_p"}, exclude_none=True)
        form = given.text.response_format if given.text else None
        if form is not None:
            asked["response_format"] = form.model_dump(by_alias=True, exclude_none=True)
        if given.tools:
            tools = [tool.tool(f"data_source.sampling_params.tools.{n}") for n, tool in enumerate(given.tools)]
            asked["tools"] = [tool.model_dump(exclude_none=True) for tool in tools]
        return asked


Source = Jsonl | Completions | Responses


class RunBody(RequestBody):
    name: Name | None = None
    metadata: Metadata | None = None
    data_source: Annotated[Source, Field(discriminator="type")]

    def checked(self) -> Source:
        """Raises HttpError (400) for data, or a tool, that this server does not have."""
        source = self.data_source
        if isinstance(source.source, StoredSource):
            raise HttpError.unsupported("data_source.source.type", "An eval over stored answers")
        if isinstance(source, Responses):
            source.sampling  # noqa: B018 - so that what is wrong with it is told now
        return source


class Eval(TypedDict):
    id: str
    object: Literal["eval"]
    created_at: int
    name: str
    data_source_config: dict[str, Any]
    testing_criteria: list[dict[str, Any]]
    metadata: dict[str, str] | None


class EvalDeleted(TypedDict):
    object: Literal["eval.deleted"]
    deleted: Literal[True]
    eval_id: str


class RunDeleted(TypedDict):
    object: Literal["eval.run.deleted"]
    deleted: Literal[True]
    run_id: str


class ApiError(TypedDict):
    code: str
    message: str


class ResultCounts(TypedDict):
    total: int
    passed: int
    failed: int
    errored: int


class ModelUsage(TypedDict):
    model_name: str
    invocation_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int


class CriterionCounts(TypedDict):
    testing_criteria: str
    passed: int
    failed: int


class Run(TypedDict):
    id: str
    object: Literal["eval.run"]
    eval_id: str
    created_at: int
    name: str
    model: str
    status: RunStatus
    report_url: str
    data_source: dict[str, Any]
    metadata: dict[str, str] | None
    error: ApiError | None
    result_counts: ResultCounts
    per_model_usage: list[ModelUsage]
    per_testing_criteria_results: list[CriterionCounts]


class OutputItem(TypedDict):
    id: str
    object: Literal["eval.run.output_item"]
    created_at: int
    eval_id: str
    run_id: str
    status: str
    datasource_item_id: int
    datasource_item: dict[str, Any]
    results: list[dict[str, Any]]
    sample: dict[str, Any]
