"""The tokenizer of a served model, at the paths where vLLM has it and lm-eval looks for it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from chiliad.errors import BaseNotFound
from chiliad.server.service import ServedModel
from chiliad.server.state import ServerState, State
from chiliad.server.tokens import check_ids
from chiliad.server.wire.tokens import DetokenizeBody, Detokenized, TokenizeBody, TokenizerInfo, Tokens

router = APIRouter(tags=["tokenizer"])


@router.post("/tokenize")
async def tokenize(body: TokenizeBody, state: State) -> Tokens:
    model = await _model(state, body.model)
    tokens = await asyncio.to_thread(model.tokenizer.encode, body.prompt)
    return Tokens(count=len(tokens), max_model_len=model.context_max, tokens=tokens)


@router.post("/detokenize")
async def detokenize(body: DetokenizeBody, state: State) -> Detokenized:
    model = await _model(state, body.model)
    check_ids(body.tokens, model.tokenizer, param="tokens")
    return Detokenized(prompt=await asyncio.to_thread(model.tokenizer.decode, body.tokens, skip_special=False))


@router.get("/tokenizer_info")
async def tokenizer_info(state: State, model: str | None = None) -> TokenizerInfo:
    served = await _model(state, model)
    return TokenizerInfo(
        bos_token=served.tokenizer.bos_token,
        eos_token=served.tokenizer.eos_token,
        chat_template=served.chat_template.source,
    )


async def _model(state: ServerState, model_id: str | None) -> ServedModel:
    """Without an id the first that is served: one base, one tokenizer, is the usual case. Raises BaseNotFound."""
    if model_id:
        return await state.resolve(model_id)
    first = next(iter(await state.models()), None)
    if first is None:
        raise BaseNotFound("No model is served here at the moment.", fix="Pull the base of its experts.")
    return first
