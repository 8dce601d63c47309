"""The error body: OpenAI's four fields, and what to do about it."""

from __future__ import annotations

from typing_extensions import TypedDict


class Error(TypedDict):
    message: str
    type: str
    param: str | None
    code: str
    fix: str


class ErrorBody(TypedDict):
    error: Error
