"""`/v1/files`: what is known of an uploaded file, in OpenAI's shape with our SHA-256."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from chiliad.server.errors import HttpError
from chiliad.store import Purpose, UploadedFile

EXPIRES_S_MIN, EXPIRES_S_MAX = 3600, 2_592_000
PURPOSES = (Purpose.FINE_TUNE, Purpose.EVALS, Purpose.BATCH)
"""what a client may upload files for"""
_ELSEWHERE = {"assistants": "Assistants", "vision": "Images", "user_data": "Files as a prompt's input"}


class ExpiresAfter(BaseModel):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=EXPIRES_S_MIN, le=EXPIRES_S_MAX)]


class File(TypedDict):
    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    """seconds since 1970"""
    expires_at: int | None
    filename: str
    purpose: str
    sha256: str
    status: Literal["processed"]
    status_details: None


class FileDeleted(TypedDict):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


def file_on_wire(file: UploadedFile) -> File:
    return File(
        id=file.id,
        object="file",
        bytes=file.bytes,
        created_at=int(file.created_s),
        expires_at=None if file.expires_s is None else int(file.expires_s),
        filename=file.name,
        purpose=file.purpose.value,
        sha256=file.sha256,
        status="processed",
        status_details=None,
    )


def purpose_of(text: str) -> Purpose:
    """Raises HttpError (400) for a purpose that no file can be uploaded for."""
    if text in _ELSEWHERE:
        raise HttpError.unsupported("purpose", _ELSEWHERE[text])
    if text not in PURPOSES:
        allowed = ", ".join(PURPOSES)
        raise HttpError.bad_value("purpose", f"There is no purpose {text[:40]!r}.", fix=f"Give one of {allowed}.")
    return Purpose(text)
