"""`/v1/load_lora_adapter` and `/v1/unload_lora_adapter`, as vLLM has them, for adapters in one folder."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from chiliad.errors import AccessError, AdapterError, ExpertNotFound, RegistryError
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.wire import lora_adapters as wire
from chiliad.workspace import Workspace
from chiliad.workspace.loading import load_from_folder, unload

router = APIRouter(prefix="/v1", tags=["adapters"], default_response_class=PlainTextResponse)


@router.post("/load_lora_adapter")
async def load_lora_adapter(body: wire.LoadBody, workspace: Opened) -> str:
    """The adapter answers under its name at once, after restarts too."""
    await asyncio.to_thread(_load, workspace, body)
    return f"Success: LoRA adapter '{body.lora_name}' added successfully."


@router.post("/unload_lora_adapter")
async def unload_lora_adapter(body: wire.UnloadBody, workspace: Opened) -> str:
    """Only what was loaded; experts that were trained or imported here stay."""
    await asyncio.to_thread(_unload, workspace, body.lora_name)
    return f"Success: LoRA adapter '{body.lora_name}' removed successfully."


def _load(workspace: Workspace, body: wire.LoadBody) -> None:
    name, path = body.lora_name, body.lora_path
    try:
        load_from_folder(workspace, name, path, base=body.base_model_name, again=body.load_inplace)
    except AccessError as error:
        raise HttpError(403, "not_permitted", error.cause, fix=error.fix) from error
    except AdapterError as error:
        raise HttpError(400, "invalid_adapter", error.cause, fix=error.fix, param="lora_path") from error
    except RegistryError as error:
        raise HttpError.bad_value("lora_name", error.cause, fix=error.fix) from error


def _unload(workspace: Workspace, name: str) -> None:
    try:
        unload(workspace, name)
    except ExpertNotFound:
        raise
    except RegistryError as error:
        raise HttpError.bad_value("lora_name", error.cause, fix=error.fix) from error
