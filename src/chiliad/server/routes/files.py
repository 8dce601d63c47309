"""`/v1/files`: what clients upload for other routes to work on, and what those wrote for them; each project has its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from chiliad.data import check_json_lines
from chiliad.errors import DataError
from chiliad.server.caller import From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.wire import files as wire
from chiliad.server.wire.listing import ID_PATTERN, After, InPath, Order, Page, page_of
from chiliad.store import Scope, UploadedFile
from chiliad.workspace import Workspace

PATH = "/v1/files"
FORM_BYTES_MAX = 64 << 10
"""what a form may have beside its file"""
FORM_FIELDS_MAX = 8
FORM_FIELD_BYTES_MAX = 4096
CHUNK_BYTES = 1 << 20
LIST_MAX = 10_000
"""OpenAI's own bound, and default, for this list"""

_FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "JSONL in UTF-8"},
        "purpose": {"type": "string", "enum": list(wire.PURPOSES)},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": wire.EXPIRES_S_MIN, "maximum": wire.EXPIRES_S_MAX},
    },
}

router = APIRouter(prefix=PATH, tags=["files"])


@router.post(
    "", openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}
)
async def create_file(request: Request, workspace: Opened, caller: From) -> wire.File:
    """Upload a JSONL file in UTF-8. It is checked line by line, and kept whole or not at all."""
    form = request.form(max_files=1, max_fields=FORM_FIELDS_MAX, max_part_size=FORM_FIELD_BYTES_MAX)
    async with form as fields:
        return wire.file_on_wire(await asyncio.to_thread(_kept, workspace, caller.scope, fields))


@router.get("")
async def list_files(
    workspace: Opened,
    caller: From,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = LIST_MAX,
    order: Order = "desc",
    purpose: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
) -> Page[wire.File]:
    look = partial(workspace.files.of(caller.scope).page, after=after, newest_first=order == "desc", purpose=purpose)
    found = await asyncio.to_thread(look, limit=limit + 1)
    return page_of(found, limit, wire.file_on_wire, lambda file: file.id)


@router.get("/{file_id}")
async def retrieve_file(file_id: InPath, workspace: Opened, caller: From) -> wire.File:
    return wire.file_on_wire(await asyncio.to_thread(workspace.files.of(caller.scope).get, file_id))


@router.get("/{file_id}/content", response_class=FileResponse)
async def file_content(file_id: InPath, workspace: Opened, caller: From) -> FileResponse:
    """The bytes as they were uploaded, for no browser to make a page of."""
    file = await asyncio.to_thread(workspace.files.of(caller.scope).get, file_id)
    headers = {"X-Content-Type-Options": "nosniff"}
    return FileResponse(
        workspace.files.path(file), filename=file.name, media_type="application/octet-stream", headers=headers
    )


@router.delete("/{file_id}")
async def delete_file(file_id: InPath, workspace: Opened, caller: From) -> wire.FileDeleted:
    await asyncio.to_thread(workspace.files.of(caller.scope).delete, file_id)
    return wire.FileDeleted(id=file_id, object="file", deleted=True)


def _kept(workspace: Workspace, scope: Scope, form: FormData) -> UploadedFile:
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise HttpError(400, "missing_required_parameter", "`file` is missing.", fix="Add `file`.", param="file")
    name = upload.filename or ""
    try:
        return workspace.files.of(scope).add(
            name,
            wire.purpose_of(_text(form, "purpose")),
            _chunks(upload.file),
            bytes_max=workspace.settings.server.upload_bytes_max,
            expires_after_s=_expires_after_s(form),
            check=lambda path: check_json_lines(path, name),
        )
    except DataError as error:
        raise HttpError(400, "invalid_file_format", error.cause, fix=error.fix, param="file") from error


def _text(form: FormData, field: str) -> str:
    value = form.get(field)
    if not isinstance(value, str):
        cause = f"`{field}` is missing."
        raise HttpError(400, "missing_required_parameter", cause, fix=f"Add `{field}`.", param=field)
    return value


def _expires_after_s(form: FormData) -> int | None:
    given = {name: form.get(f"expires_after[{name}]") for name in ("anchor", "seconds")}
    if not any(given.values()):
        return None
    try:
        return wire.ExpiresAfter.model_validate(given).seconds
    except ValidationError as error:
        cause = f"`expires_after` is not usable: {error.errors()[0]['msg']}."
        fix = f"Give the anchor created_at and {wire.EXPIRES_S_MIN} to {wire.EXPIRES_S_MAX} seconds."
        raise HttpError.bad_value("expires_after", cause, fix=fix) from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK_BYTES), b"")
