"""How an exception becomes an answer: a status, and OpenAI's error shape with our code and fix."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from chiliad.errors import (
    AccessError,
    AnswerNotFound,
    BaseNotFound,
    BaseNotLoaded,
    ChiliadError,
    DeadlinePassed,
    EvalError,
    EvalNotFound,
    ExpertNotFound,
    FeedbackError,
    FileMissing,
    FileRefused,
    JobConflict,
    JobNotFound,
    KeyNotFound,
    Overloaded,
    PromptTooLong,
    QueryError,
    RequestError,
    StoreError,
)
from chiliad.server.wire.errors import Error, ErrorBody

FORM = "multipart/form-data"
RETRY_AFTER_S = 1

log = logging.getLogger("chiliad.server")


class HttpError(RequestError):
    """A request that the server itself turns away, before the rest of Chiliad sees it."""

    def __init__(
        self,
        status: int,
        code: str,
        cause: str,
        *,
        fix: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(cause, fix=fix)
        self.status = status
        self.wire_code = code
        self.param = param
        self.headers = headers or {}

    @classmethod
    def bad_value(cls, param: str | None, cause: str, *, fix: str) -> HttpError:
        return cls(400, "invalid_value", cause, fix=fix, param=param)

    @classmethod
    def unsupported(cls, param: str, feature: str) -> HttpError:
        cause = f"{feature} is not supported by this server, and the request asks for it in `{param}`."
        return cls(400, "unsupported_feature", cause, fix=f"Leave `{param}` out of the request.", param=param)

    @classmethod
    def client_gone(cls) -> HttpError:
        return cls(499, "client_gone", "The client left.", fix="Nothing is left to do.")

    @classmethod
    def shutting_down(cls) -> HttpError:
        return cls(503, "shutting_down", "The server is shutting down.", fix="Send the request again in a moment.")


Answer = Callable[[Request, ChiliadError], Response]
"""how an error is put to whoever asked"""


Told = Callable[[ChiliadError], ChiliadError]
"""what of an error a client is told"""


def without_folders(folders: Sequence[Path]) -> Told:
    """What lies in one of `folders` is told without saying where that is: the log says it to whoever runs the server."""
    places = sorted({f"{place}/" for folder in folders for place in (folder, folder.absolute())}, key=len, reverse=True)

    def hidden(text: str) -> str:
        for place in places:
            text = text.replace(place, "")
        return text

    def told(error: ChiliadError) -> ChiliadError:
        if not any(place in str(error) for place in places):
            return error
        _log(error)
        cause, fix = hidden(error.cause), hidden(error.fix)
        return HttpError(status_of(error), code_of(error), cause, fix=fix, param=_param_of(error))

    return told


def install(app: FastAPI, answer: Answer, told: Told) -> None:
    """Give every exception that leaves a route an answer; none shows a traceback."""

    async def on_error(request: Request, raised: Exception) -> Response:
        if isinstance(raised, HTTPException) and isinstance(raised.__cause__, ChiliadError):
            raised = raised.__cause__  # FastAPI puts a 400 around whatever stops it from reading a form
        error = _understood(request, told(raised) if isinstance(raised, ChiliadError) else raised)
        reply = answer(request, error)
        if isinstance(raised, HTTPException):
            reply.headers.update(raised.headers or {})
        return reply

    for kind in (ChiliadError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, on_error)


def error_response(error: ChiliadError) -> JSONResponse:
    """In OpenAI's shape."""
    return JSONResponse(error_body(error), status_code=status_of(error), headers=error_headers(error))


def error_headers(error: ChiliadError) -> dict[str, str]:
    status = status_of(error)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    if status == 409:
        headers["x-should-retry"] = "false"  # OpenAI's clients would send it again
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, HttpError):
        headers.update(error.headers)
    return headers


def error_body(error: ChiliadError) -> ErrorBody:
    status = status_of(error)
    return ErrorBody(
        error=Error(
            message=str(error),
            type=_type_of(status),
            param=_param_of(error),
            code=code_of(error),
            fix=error.fix,
        )
    )


def status_of(error: ChiliadError) -> int:
    match error:
        case HttpError():
            return error.status
        case ExpertNotFound() | BaseNotFound() | FileMissing() | JobNotFound() | EvalNotFound() | KeyNotFound():
            return 404
        case AnswerNotFound():
            return 404
        case JobConflict():
            return 409
        case Overloaded():
            return 429
        case DeadlinePassed():
            return 504
        case RequestError() | FileRefused() | EvalError() | AccessError() | FeedbackError() | QueryError():
            return 400
        case StoreError() | BaseNotLoaded():
            return 503
        case _:
            return 500


def code_of(error: ChiliadError) -> str:
    """Our code, except where OpenAI has one that clients look for."""
    match error:
        case HttpError():
            return error.wire_code
        case ExpertNotFound() | BaseNotFound():
            return "model_not_found"
        case PromptTooLong():
            return "context_length_exceeded"
        case _:
            return error.code


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def _param_of(error: ChiliadError) -> str | None:
    match error:
        case HttpError():
            return error.param
        case ExpertNotFound() | BaseNotFound():
            return "model"
        case _:
            return None


def _understood(request: Request, raised: Exception) -> ChiliadError:
    match raised:
        case ChiliadError():
            _log(raised)
            return raised
        case RequestValidationError():
            return _explain(raised.errors()[0], raised.body)
        case HTTPException():
            return _named(request, raised)
        case _:  # Starlette logs the traceback and raises it again after this answer
            cause = "Something in the server broke while it answered."
            return HttpError(500, "internal_error", cause, fix="Read the server's log, then try again.")


def _log(error: ChiliadError) -> None:
    """What is the server's own failure, with all that a client is not told."""
    if status_of(error) >= 500 and not isinstance(error, HttpError):
        log.error("%s", error, exc_info=error)


def _explain(problem: dict[str, Any], body: Any) -> HttpError:
    """Say what pydantic found, in the names that the client used."""
    param = _path(problem["loc"], body, missing=problem["type"] == "missing")
    match problem["type"]:
        case "json_invalid":
            what = problem["ctx"]["error"]
            return HttpError(400, "invalid_json", f"The body is not valid JSON: {what}.", fix="Send one JSON object.")
        case "missing" if param is None:
            return HttpError(400, "invalid_json", "The request has no body.", fix="Send one JSON object.")
        case "missing":
            return HttpError(
                400, "missing_required_parameter", f"`{param}` is missing.", fix=f"Add `{param}`.", param=param
            )
        case "model_attributes_type":
            fix = "Send one JSON object, with the header Content-Type: application/json."
            return HttpError(400, "invalid_json", "The body is not a JSON object.", fix=fix)
        case _:
            message = problem["msg"].removeprefix("Value error, ")
            return HttpError.bad_value(param, f"`{param}` is not usable: {message}.", fix=f"Correct `{param}`.")


def _path(location: tuple[int | str, ...], body: Any, *, missing: bool) -> str | None:
    """`messages.0.content` from pydantic's location, without the union branches that it also lists.

    A branch that has a name is known by the `body`, in which there is nothing of that name; nor is there a `missing`
    field, which is the location's last.
    """
    steps: list[str] = []
    here = body if location[0] == "body" else None
    for number, step in enumerate(location[1:], start=2):
        if isinstance(step, str) and (not step.isidentifier() or step in ("str", "int", "float")):
            break
        is_field = not isinstance(here, dict) or step in here or (missing and number == len(location))
        if is_field:
            steps.append(str(step))
            here = _part(here, step)
    return ".".join(steps) or None


def _part(value: Any, step: int | str) -> Any:
    if isinstance(value, list) and isinstance(step, int):
        return value[step]
    return value.get(step) if isinstance(value, dict) else None


def _named(request: Request, error: HTTPException) -> HttpError:
    path = request.url.path
    match error.status_code:
        case 400 if request.headers.get("content-type", "").startswith(FORM):
            cause = f"The form cannot be read: {error.detail.removesuffix('.')}."
            return HttpError(400, "invalid_form", cause, fix=f"Send {FORM} with the fields of this address.")
        case 400:
            return HttpError(
                400, "invalid_json", "The body is not JSON in UTF-8.", fix="Send one JSON object in UTF-8."
            )
        case 404:
            return HttpError(
                404, "unknown_url", f"There is no {path} here.", fix="GET /openapi.json lists what this server answers."
            )
        case 405:
            cause = f"{path} does not answer to {request.method}."
            return HttpError(405, "method_not_allowed", cause, fix="See the Allow header.")
        case status:
            return HttpError(status, "http_error", f"{error.detail}.", fix="Correct the request.")
