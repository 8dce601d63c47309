"""`/v1/copilot`: ask an expert for a query on a database of the workspace, and run queries, which only read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, BinaryIO

from fastapi import APIRouter, File, Request, Response, UploadFile

from chiliad.server import copilot
from chiliad.server.caller import From
from chiliad.server.opened import Opened
from chiliad.server.state import State
from chiliad.server.wire import copilot as wire
from chiliad.store import DatabaseFile
from chiliad.workspace import Workspace

UPLOAD_PATH = "/v1/copilot/databases"
CHUNK_BYTES = 1 << 20

router = APIRouter(prefix="/v1/copilot", tags=["copilot"])


@router.get("/databases")
async def list_databases(workspace: Opened) -> wire.DatabaseList:
    found = await asyncio.to_thread(workspace.databases.all)
    return wire.DatabaseList(object="list", data=[wire.database_on_wire(file) for file in found])


@router.post("/databases", status_code=201)
async def add_database(workspace: Opened, file: Annotated[UploadFile, File()]) -> wire.DatabaseOnWire:
    """Upload a SQLite file under its own name. It is looked through, and kept whole or not at all."""
    return wire.database_on_wire(await asyncio.to_thread(keep, workspace, file))


@router.get("/databases/{name}")
async def list_tables(name: wire.DatabaseInPath, workspace: Opened) -> wire.DatabaseTables:
    tables = await asyncio.to_thread(lambda: workspace.databases.open(name).tables())
    return wire.DatabaseTables(id=name, object="copilot.tables", tables=[wire.table_on_wire(one) for one in tables])


@router.delete("/databases/{name}")
async def remove_database(name: wire.DatabaseInPath, workspace: Opened) -> wire.DatabaseDeleted:
    await asyncio.to_thread(workspace.databases.remove, name)
    return wire.DatabaseDeleted(id=name, object="copilot.database.deleted", deleted=True)


@router.post("/drafts")
async def create_draft(
    body: wire.DraftBody, request: Request, response: Response, state: State, workspace: Opened, caller: From
) -> wire.DraftOnWire:
    """The expert's query. It is run, and goes back to the expert with what was wrong, a few times at most.

    The first answer is kept: POST /v1/feedback takes the draft's id.
    """
    drafted = await copilot.drafted(body.asked(), request, state, workspace, caller)
    response.headers.update(drafted.headers)
    return wire.draft_on_wire(drafted)


@router.post("/queries")
async def run_query(body: wire.RunBody, state: State, workspace: Opened) -> wire.ResultOnWire:
    """Run one SELECT."""
    return wire.result_on_wire(await copilot.run(body.database, body.sql, state, workspace))


def keep(workspace: Workspace, upload: UploadFile) -> DatabaseFile:
    """Raises FileRefused. Reads a file and the disk: call it on a worker thread."""
    bytes_max = workspace.settings.server.upload_bytes_max
    return workspace.databases.add(upload.filename or "", _chunks(upload.file), bytes_max=bytes_max)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
