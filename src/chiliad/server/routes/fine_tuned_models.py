"""`DELETE /v1/models/ft:...`: a fine-tuned model is no longer wanted."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from chiliad.registry.fine_tuned import PREFIX
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.wire.models import ModelDeleted
from chiliad.workspace import Workspace

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.delete("/{model_id:path}")
async def delete_model(model_id: str, workspace: Opened) -> ModelDeleted:
    """Delete the version behind the name of a fine-tuned model. If it was live, its expert's plain name answers no more
    until another version is promoted. Bases and experts are not deleted here: that takes `chiliad`."""
    if not model_id.startswith(PREFIX):
        cause = "Only fine-tuned models, whose names begin with ft:, are deleted here."
        raise HttpError.bad_value("model", cause, fix="Delete an expert with `chiliad experts delete`.")
    await asyncio.to_thread(_delete, workspace, model_id)
    return ModelDeleted(id=model_id, object="model", deleted=True)


def _delete(workspace: Workspace, model_id: str) -> None:
    workspace.registry.delete(workspace.registry.get(model_id).ref, force=True)
