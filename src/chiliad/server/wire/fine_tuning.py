"""`/v1/fine_tuning/jobs`: what a client asks for, and jobs, events and checkpoints in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NotRequired

from pydantic import BaseModel, Field, StrictInt
from typing_extensions import TypedDict

from chiliad.server.errors import HttpError
from chiliad.server.wire.listing import Id, Metadata
from chiliad.server.wire.request import SEED_MAX, Missing, RequestBody
from chiliad.server.wire.text import Text
from chiliad.training import Method as TrainingMethod
from chiliad.workspace.fine_tuning import FineTuning

EPOCHS_MAX = 50
BATCH_MAX = 256
MULTIPLIER_MAX = 100.0
BETA_MAX = 2.0

Auto = Literal["auto"]
Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


class Hyperparameters(BaseModel):
    n_epochs: Auto | Annotated[StrictInt, Field(ge=1, le=EPOCHS_MAX)] | None = None
    batch_size: Auto | Annotated[StrictInt, Field(ge=1, le=BATCH_MAX)] | None = None
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=MULTIPLIER_MAX)] | None = None


class Supervised(BaseModel):
    hyperparameters: Hyperparameters | None = None


class PreferenceHyperparameters(Hyperparameters):
    beta: Auto | Annotated[float, Field(gt=0, le=BETA_MAX)] | None = None


class Dpo(BaseModel):
    hyperparameters: PreferenceHyperparameters | None = None


class Method(BaseModel):
    type: Text
    supervised: Supervised | None = None
    dpo: Dpo | None = None


class FineTuningBody(RequestBody):
    missing: ClassVar[Mapping[str, Missing]] = {"integrations": Missing("Reporting to another service")}

    model: Text = Field(min_length=1, max_length=512)
    training_file: Id
    validation_file: Id | None = None
    suffix: Text | None = Field(default=None, max_length=64)
    seed: Annotated[StrictInt, Field(ge=0, le=SEED_MAX)] | None = None
    hyperparameters: Hyperparameters | None = None
    """the older place of `method.supervised.hyperparameters`"""
    method: Method | None = None
    metadata: Metadata | None = None

    def asked(self) -> FineTuning:
        """Raises HttpError (400) for a kind of training that this server does not have."""
        method = self.method or Method(type="supervised")
        if method.type not in ("supervised", "dpo"):
            raise HttpError.unsupported("method.type", f"Training by the method {method.type[:40]!r}")
        own = method.dpo if method.type == "dpo" else method.supervised
        chosen = (own.hyperparameters if own else None) or self.hyperparameters or Hyperparameters()
        return FineTuning(
            model=self.model,
            training_file=self.training_file,
            validation_file=self.validation_file,
            suffix=self.suffix or None,
            seed=self.seed or 0,
            n_epochs=_number(chosen.n_epochs),
            batch_size=_number(chosen.batch_size),
            learning_rate_multiplier=_number(chosen.learning_rate_multiplier),
            method=TrainingMethod(method.type),
            beta=_number(chosen.beta) if isinstance(chosen, PreferenceHyperparameters) else None,
            metadata=self.metadata,
        )


def _number(value: Any) -> Any:
    return None if value == "auto" else value


class HyperparametersUsed(TypedDict):
    n_epochs: int | Auto
    batch_size: int | Auto
    learning_rate_multiplier: float | Auto


class PreferenceHyperparametersUsed(HyperparametersUsed):
    beta: float | Auto


class SupervisedUsed(TypedDict):
    hyperparameters: HyperparametersUsed


class DpoUsed(TypedDict):
    hyperparameters: PreferenceHyperparametersUsed


class MethodUsed(TypedDict):
    type: Literal["supervised", "dpo"]
    supervised: NotRequired[SupervisedUsed]
    dpo: NotRequired[DpoUsed]


class JobError(TypedDict):
    code: str
    message: str
    param: str | None


class FineTuningJob(TypedDict):
    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    estimated_finish: int | None
    finished_at: int | None
    model: str
    """the base that is trained on; `asked_model` is what the client called it"""
    asked_model: str
    fine_tuned_model: str | None
    organization_id: str
    status: Status
    training_file: str
    validation_file: str | None
    result_files: list[str]
    trained_tokens: int | None
    hyperparameters: HyperparametersUsed
    method: MethodUsed
    seed: int
    integrations: list[Any]
    metadata: dict[str, str] | None
    error: JobError | None
    expert: str | None
    """the version of an expert that came out, with its card; `live` says whether its plain name stands for it"""
    live: bool | None


class Event(TypedDict):
    id: str
    object: Literal["fine_tuning.job.event"]
    created_at: int
    level: Literal["info", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any] | None


class Metrics(TypedDict):
    step: int
    train_loss: float | None
    train_mean_token_accuracy: float | None
    valid_loss: float | None
    valid_mean_token_accuracy: float | None
    full_valid_loss: float | None
    full_valid_mean_token_accuracy: float | None


class Checkpoint(TypedDict):
    id: str
    object: Literal["fine_tuning.job.checkpoint"]
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: Metrics
