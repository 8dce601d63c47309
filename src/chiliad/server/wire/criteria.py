"""The testing criteria of an eval: OpenAI's graders, without those that would run a client's code."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chiliad.server.errors import HttpError
from chiliad.server.wire.text import Text

TURNS_MAX = 64
LABELS_MAX = 1000

Name = Annotated[Text, Field(min_length=1, max_length=256)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""the others cannot be kept: JSON does not have them"""
Operation = Literal["eq", "ne", "like", "ilike"]
Similarity = Literal["cosine", "fuzzy_match", "gleu", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"]


class TextPart(BaseModel):
    type: Literal["text", "input_text", "output_text"]
    text: Text


class Turn(BaseModel):
    """A message whose text may have places for what the item and the sample hold."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | TextPart | Annotated[list[Text | TextPart], Field(max_length=TURNS_MAX)]

    @property
    def template(self) -> str:
        parts = self.content if isinstance(self.content, list) else [self.content]
        return "".join(part if isinstance(part, str) else part.text for part in parts)


Turns = Annotated[list[Turn], Field(min_length=1, max_length=TURNS_MAX)]


class StringCheck(BaseModel):
    type: Literal["string_check"]
    name: Name
    input: Text
    reference: Text
    operation: Operation
    """like: the input holds the reference; ilike: the same, whatever their case"""


class TextSimilarity(BaseModel):
    type: Literal["text_similarity"]
    name: Name
    input: Text
    reference: Text
    evaluation_metric: Similarity
    pass_threshold: Finite


class LabelModel(BaseModel):
    """A model here chooses one of the labels, and can say nothing else."""

    type: Literal["label_model"]
    name: Name
    model: Name
    input: Turns
    labels: Annotated[list[Text], Field(min_length=1, max_length=LABELS_MAX)]
    passing_labels: Annotated[list[Text], Field(max_length=LABELS_MAX)]

    @model_validator(mode="after")
    def _passing_are_labels(self) -> Self:
        if not set(self.passing_labels) <= set(self.labels):
            raise ValueError("a passing label is not among the labels")
        return self


class JudgeSampling(BaseModel):
    model_config = ConfigDict(extra="ignore")
    max_completions_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)


class ScoreModel(BaseModel):
    """A model here gives a number within the range, and can say nothing else."""

    type: Literal["score_model"]
    name: Name
    model: Name
    input: Turns
    range: tuple[Finite, Finite] = (0.0, 1.0)
    pass_threshold: Finite | None = None
    """without it the middle of the range"""
    sampling_params: JudgeSampling | None = None

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise ValueError("the range does not rise")
        return self

    @property
    def threshold(self) -> float:
        return sum(self.range) / 2 if self.pass_threshold is None else self.pass_threshold


class Elsewhere(BaseModel):
    """Graders that this server does not have."""

    type: Literal["python", "multi", "endpoint"]


Criterion = StringCheck | TextSimilarity | LabelModel | ScoreModel
AnyCriterion = Annotated[Criterion | Elsewhere, Field(discriminator="type")]


def refuse_elsewhere(criteria: list[Any]) -> None:
    """Raises HttpError (400) for a grader that this server does not have."""
    for index, criterion in enumerate(criteria):
        if isinstance(criterion, Elsewhere):
            path = f"testing_criteria.{index}"
            cause = f"Graders of the type {criterion.type!r} are not supported: this server runs no code of a client's."
            fix = "Use string_check, text_similarity, label_model or score_model."
            raise HttpError(400, "unsupported_feature", cause, fix=fix, param=f"{path}.type")
