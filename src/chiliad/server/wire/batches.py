"""`/v1/batches`: many requests in one file, answered in the background."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from chiliad.server.errors import HttpError
from chiliad.server.wire.files import ExpiresAfter
from chiliad.server.wire.listing import Id, Metadata
from chiliad.server.wire.request import RequestBody
from chiliad.server.wire.text import JsonObject, Text

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
REQUESTS_MAX = 50_000

Status = Literal["validating", "in_progress", "paused", "completed", "failed", "expired", "cancelling", "cancelled"]


class BatchBody(RequestBody):
    input_file_id: Id
    endpoint: Text
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None

    def check(self) -> None:
        """Raises HttpError (400) for an endpoint that takes no batches."""
        if self.endpoint not in ENDPOINTS:
            raise HttpError.unsupported("endpoint", f"A batch for {self.endpoint[:60]!r}")


class Line(BaseModel):
    """One request of a batch."""

    model_config = ConfigDict(extra="ignore")
    custom_id: Text = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: Text
    body: JsonObject


class BatchError(TypedDict):
    code: str
    message: str
    line: int | None
    param: str | None


class Errors(TypedDict):
    object: Literal["list"]
    data: list[BatchError]


class RequestCounts(TypedDict):
    total: int
    completed: int
    failed: int


class Batch(TypedDict):
    id: str
    object: Literal["batch"]
    endpoint: str
    errors: Errors | None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None
