"""`/v1/models`: who can be asked."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from chiliad.server.service import AnyService, ServedModel
from chiliad.server.state import State
from chiliad.server.wire.models import Model, ModelList

OWNER = "chiliad"

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
@router.get("/", include_in_schema=False)
async def list_models(state: State) -> ModelList:
    return await asyncio.to_thread(_listed, state.service)


@router.get("/{model_id:path}")
async def retrieve_model(model_id: str, state: State) -> Model:
    return await state.with_model(lambda: _on_wire(state.service.resolve(model_id.rstrip("/"))))


def _listed(service: AnyService) -> ModelList:
    return ModelList(object="list", data=[_on_wire(model) for model in service.models()])


def _on_wire(model: ServedModel) -> Model:
    """Called on worker threads: the description and the example are read from files."""
    return Model(
        id=model.id,
        object="model",
        created=model.created_s,
        owned_by=OWNER,
        root=model.root,
        parent=model.parent,
        max_model_len=model.context_max,
        precision=model.precision,
        description=model.description,
        example=model.example,
    )
