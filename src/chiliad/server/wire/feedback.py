"""`/v1/feedback`, `/v1/review`, `/v1/corrections` and `/v1/suggestions`: what clients send and see."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from chiliad.server.wire.listing import WITHOUT_NUL, Id
from chiliad.server.wire.text import Text
from chiliad.store import Decision, Feedback, Job, KeptAnswer, Said
from chiliad.workspace.feedback import Decided, Given, ReviewItem, Standing
from chiliad.workspace.suggestions import Suggestion

TEXT_CHARS_MAX = 100_000
COMMENT_CHARS_MAX = 10_000
AFTER_MAX = 100_000
EXAMPLES_SHOWN = 10

Written = Annotated[Text, Field(max_length=TEXT_CHARS_MAX, pattern=WITHOUT_NUL)]


class FeedbackBody(BaseModel):
    """A field that we do not know is refused: it may be the one that matters."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    answer_id: Id
    """of the response; of its choice with the index N, if that is not 0, `ID.N`"""
    boolean: bool | None = None
    """whether the answer is good"""
    score: float | None = Field(default=None, ge=0, le=1)
    comment: Annotated[Text, Field(max_length=COMMENT_CHARS_MAX, pattern=WITHOUT_NUL)] | None = None
    demonstration: Written | None = None
    """the answer that would have been right"""
    outcome: bool | None = None
    """whether what was done with the answer turned out right"""

    def said(self) -> Said:
        return Said(self.boolean, self.score, self.comment, self.demonstration, self.outcome)


class DecisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    decision: Decision
    answer: Written | None = None
    """what would have been right; only for `correct`"""


class RuleBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int = Field(ge=1, le=AFTER_MAX)


class FeedbackOnWire(TypedDict):
    id: str
    object: Literal["feedback"]
    answer_id: str
    created_at: int
    """seconds since 1970, like the other times"""
    by: str
    boolean: bool | None
    score: float | None
    comment: str | None
    demonstration: str | None
    outcome: bool | None


class Turn(TypedDict):
    role: str
    content: str


class Answer(TypedDict):
    id: str
    object: Literal["answer"]
    created_at: int
    by: str
    project: str
    model: str
    expert: str | None
    messages: list[Turn]
    answer: str
    certainty: float
    """the probability of the answer's least certain token"""
    disagreement: float
    """how much of the feedback speaks against it, from 0 to 1"""
    metadata: dict[str, str]
    decision: Decision | None
    wanted: str | None
    decided_at: int | None
    decided_by: str | None


class Item(Answer):
    feedback: list[FeedbackOnWire]


class ItemAlone(Item):
    choices: list[str]
    """the closed answers of the expert, if it has such"""


class Queue(TypedDict):
    object: Literal["list"]
    data: list[Item]


class Retraining(TypedDict):
    object: Literal["retraining"]
    job_id: str
    expert: str
    state: str
    created_at: int
    finished_at: int | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None


class DecidedOnWire(TypedDict):
    answer: Answer
    retraining: Retraining | None
    """the one that this began, by rule"""


class GivenOnWire(FeedbackOnWire):
    decided: DecidedOnWire | None
    """what a member's or an admin's demonstration decided by itself"""


class Deleted(TypedDict):
    object: Literal["answer.deleted"]
    deleted: Literal[True]
    id: str


class Purged(TypedDict):
    object: Literal["answers.purged"]
    answers: int


class Rule(TypedDict):
    after: int


class StandingOnWire(TypedDict):
    object: Literal["corrections"]
    expert: str
    accepted: int
    corrected: int
    waiting: int
    """corrections that no retraining was given yet"""
    rule: Rule | None
    retraining: Retraining | None
    """the newest"""


class StandingList(TypedDict):
    object: Literal["list"]
    data: list[StandingOnWire]


class DatasetOnWire(TypedDict):
    object: Literal["dataset"]
    hash: str
    train: int
    dev: int
    test: int
    corrections: int
    left_out: int
    """corrections of inputs that the expert is tested on"""


class SuggestionOnWire(TypedDict):
    object: Literal["suggestion"]
    requests: int
    different: int
    """how many of them differ in their words"""
    examples: list[str]
    """the most typical requests"""
    answer_ids: list[str]


class SuggestionList(TypedDict):
    object: Literal["list"]
    data: list[SuggestionOnWire]
    searched: bool
    """false before the first search was done"""


class Search(TypedDict):
    object: Literal["search"]
    job_id: str
    state: str


def given_on_wire(given: Given) -> GivenOnWire:
    decided = None if given.decided is None else decided_on_wire(given.decided)
    return GivenOnWire(**feedback_on_wire(given.feedback), decided=decided)


def feedback_on_wire(feedback: Feedback) -> FeedbackOnWire:
    said = feedback.said
    return FeedbackOnWire(
        id=feedback.id,
        object="feedback",
        answer_id=feedback.answer_id,
        created_at=int(feedback.at_s),
        by=feedback.key_id,
        boolean=said.boolean,
        score=said.score,
        comment=said.comment,
        demonstration=said.demonstration,
        outcome=said.outcome,
    )


def answer_on_wire(answer: KeptAnswer) -> Answer:
    return Answer(
        id=answer.id,
        object="answer",
        created_at=int(answer.created_s),
        by=answer.key_id,
        project=answer.project,
        model=answer.model,
        expert=answer.expert,
        messages=[Turn(role=turn["role"], content=turn["content"]) for turn in answer.turns],
        answer=answer.text,
        certainty=answer.certainty,
        disagreement=answer.disagreement,
        metadata=dict(answer.metadata),
        decision=answer.decision,
        wanted=answer.wanted,
        decided_at=None if answer.decided_s is None else int(answer.decided_s),
        decided_by=answer.decided_by,
    )


def item_on_wire(item: ReviewItem) -> Item:
    return Item(**answer_on_wire(item.answer), feedback=[feedback_on_wire(one) for one in item.feedback])


def decided_on_wire(decided: Decided) -> DecidedOnWire:
    job = decided.retraining
    return DecidedOnWire(
        answer=answer_on_wire(decided.answer), retraining=None if job is None else retraining_on_wire(job)
    )


def retraining_on_wire(job: Job) -> Retraining:
    return Retraining(
        object="retraining",
        job_id=job.id,
        expert=job.document["name"],
        state=job.state,
        created_at=int(job.created_s),
        finished_at=None if job.finished_s is None else int(job.finished_s),
        result=None if job.result is None else dict(job.result),
        error=None if job.error is None else dict(job.error),
    )


def standing_on_wire(standing: Standing) -> StandingOnWire:
    gathered, job = standing.gathered, standing.retraining
    return StandingOnWire(
        object="corrections",
        expert=gathered.expert,
        accepted=gathered.accepted,
        corrected=gathered.corrected,
        waiting=gathered.waiting,
        rule=None if standing.after is None else Rule(after=standing.after),
        retraining=None if job is None else retraining_on_wire(job),
    )


def suggestion_on_wire(suggestion: Suggestion) -> SuggestionOnWire:
    return SuggestionOnWire(
        object="suggestion",
        requests=len(suggestion.answers),
        different=suggestion.different,
        examples=list(suggestion.examples[:EXAMPLES_SHOWN]),
        answer_ids=[answer.id for answer in suggestion.answers],
    )
