"""An expert in hand: call it with a text, get its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from chiliad.base import ChatTemplate
from chiliad.engine import Aborted, Completion, Event, Failed, Finished, Request, SamplingParams
from chiliad.errors import Overloaded, PromotionRefused
from chiliad.evals import Card
from chiliad.registry import Comparison, ExpertRef, ExpertVersion
from chiliad.workspace.served_base import ServedBase

CARD_FILE = "card.json"


@dataclass(frozen=True)
class Expert:
    """One version of an expert. `expert(text)` answers; `await expert.acall(text)` does so without blocking."""

    version: ExpertVersion
    folder: Path
    served: ServedBase
    template: ChatTemplate
    comparison: Comparison | None = None
    """right after training: with the version that was live then"""
    refusal: PromotionRefused | None = None
    """right after training: why the gate did not make it live"""

    @property
    def ref(self) -> ExpertRef:
        return self.version.ref

    @property
    def card(self) -> Card | None:
        """What this version is worth; None before it was evaluated."""
        try:
            return Card.from_json((self.folder / CARD_FILE).read_bytes())
        except FileNotFoundError:
            return None

    @property
    def warning(self) -> str | None:
        """What whoever relies on this version should know first, by its card."""
        card = self.card
        return card.warning if card else None

    def __call__(self, text: str, *, max_tokens: int = 256, temperature: float = 0.0, seed: int | None = None) -> str:
        """Answer one input. Raises PromptTooLong, Overloaded, and what loading the adapter raises."""
        return self.complete(text, SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)).text

    def complete(self, text: str, sampling: SamplingParams) -> Completion:
        """The answer to one input, with what it took."""
        return self.served.engine.generate([self.request(text, sampling)])[0]

    async def acall(
        self, text: str, *, max_tokens: int = 256, temperature: float = 0.0, seed: int | None = None
    ) -> str:
        """The same from asyncio. Cancelling the task cancels the request."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        sampling = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)

        def on_event(event: Event) -> None:
            loop.call_soon_threadsafe(_settle, future, event)

        handle = self.served.engine.submit(self.request(text, sampling), on_event)
        try:
            return await future
        finally:
            handle.cancel()

    def request(self, text: str, sampling: SamplingParams) -> Request:
        """One input as the engine takes it, kept to the expert's closed answers if it has them."""
        self.served.know(self.version, self.folder)
        return self.served.request(
            str(self.ref),
            self.served.prompt(self.template, [{"role": "user", "content": text}]),
            sampling,
            adapter=self.version.adapter_hash,
            choices=self.served.choices(self.version.choices),
        )

    def __repr__(self) -> str:
        card = self.card
        return f"<Expert {self.ref}" + (f": {card.verdict.line}>" if card else ">")


def _settle(future: asyncio.Future[str], event: Event) -> None:
    if future.done():
        return
    if isinstance(event, Finished):
        future.set_result(event.completion.text)
    elif isinstance(event, Failed):
        future.set_exception(event.error)
    elif isinstance(event, Aborted):
        future.set_exception(Overloaded("The engine was closed.", fix="Open the workspace again."))
