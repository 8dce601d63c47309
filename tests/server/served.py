"""A `Service` over the real engine with a tiny random base: what the workspace does, without its files and database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch

from chiliad.adapters import AdapterHash, LoadedAdapter, LoraAdapter, LoraShape
from chiliad.base import Base, ChatTemplate, Tokenizer
from chiliad.config import EngineSettings
from chiliad.engine import Delta, Engine, Event, Grammar, Handle, OnEvent, Request, RequestId, SamplingParams
from chiliad.errors import BrokenAdapter, ExpertNotFound
from chiliad.ledger import Evidence, RightShare, Training
from chiliad.models import SITES, Llama, LlamaConfig
from chiliad.server import Turns

BROKEN = AdapterHash("b" * 64)
LABELS = ("card", "refund", "hours")
ENGINE = EngineSettings(batch_max=64, context_max=512, queue_max=400)


@dataclass(frozen=True)
class Served:
    id: str
    root: str
    parent: str | None
    description: str
    context_max: int
    tokenizer: Tokenizer
    chat_template: ChatTemplate
    adapter: AdapterHash | None = None
    labels: tuple[str, ...] = ()
    endless: bool = False
    """its answers end only at max_tokens"""
    example: str | None = None
    precision: str = "bf16"
    created_s: int = 1_700_000_000


class EngineService:
    """Serves the base; `tickets` with two versions; `labels` with a closed set of answers; `endless`; and `broken`."""

    def __init__(self, base: Base, settings: EngineSettings = ENGINE) -> None:
        self._base = base
        config = LlamaConfig.from_hf(base.config)
        self._config = config
        self.engine = Engine(Llama.load(base.path, config), self.tokenizer, self._load_adapter, settings, threads=1)
        self.started = 0
        self.ended: Counter[str] = Counter()
        """last events by their kind"""

    def close(self) -> None:
        self.engine.close()

    def is_ready(self) -> bool:
        return True

    def models(self) -> Sequence[Served]:
        return [self.resolve(name) for name in ("tickets", "labels", "endless", self._base.id)]

    def resolve(self, model_id: str) -> Served:
        found = self._everything.get(model_id)
        if found is None:
            raise ExpertNotFound(f"There is no expert {model_id}.", fix="GET /v1/models lists them.")
        return found

    def render(self, model: Served, turns: Turns) -> tuple[int, ...]:
        return tuple(model.tokenizer.encode(model.chat_template.render(turns)))

    def compile(self, model: Served, grammar: Grammar) -> None:
        self.engine.compile(grammar)

    def score(self, model_id: str) -> RightShare | None:
        return RightShare(0.5, 4, Evidence.TEST, "four rows") if model_id == "tickets@2" else None

    def trainings(self) -> Sequence[Training]:
        return [Training("tickets", 1, 1e9, 40.0, 40.0), Training("tickets", 2, 2e9, 10.0, 10.0)]

    def start(
        self,
        model: Served,
        prompt: tuple[int, ...],
        sampling: SamplingParams,
        on_event: OnEvent,
        *,
        keep_to_choices: bool,
        share: str | None,
        priority: int = 0,
        grammar: Grammar | None = None,
        prompt_logprobs: int | None = None,
    ) -> Handle:
        self.started += 1
        end = min(self.tokenizer.eos_ids)
        choices = (
            tuple((*self.tokenizer.encode(label), end) for label in model.labels)
            if keep_to_choices and not grammar
            else ()
        )
        request = Request(
            id=RequestId(str(self.started)),
            prompt=prompt,
            sampling=sampling,
            adapter=model.adapter,
            choices=choices or None,
            grammar=grammar,
            eos_ids=frozenset() if model.endless else self.tokenizer.eos_ids,
            prompt_logprobs=prompt_logprobs,
            share=share or "",
            priority=priority,
        )
        return self.engine.submit(request, partial(self._pass_on, on_event))

    def _pass_on(self, on_event: OnEvent, event: Event) -> None:
        if not isinstance(event, Delta):
            self.ended[type(event).__name__] += 1
        on_event(event)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return self._base.tokenizer()

    @cached_property
    def _everything(self) -> Mapping[str, Served]:
        base = Served(
            id=self._base.id,
            root=self._base.id,
            parent=None,
            description="A tiny random base.",
            context_max=self.engine.context_max,
            tokenizer=self.tokenizer,
            chat_template=self._base.chat_template(),
        )
        expert = replace(base, parent=base.id, description="A random expert.")
        one = replace(expert, id="tickets@1", root="tickets@1", adapter=AdapterHash("1" * 64))
        two = replace(expert, id="tickets@2", root="tickets@2", adapter=AdapterHash("2" * 64))
        others = (
            replace(two, id="tickets"),
            replace(expert, id="labels", root="labels@1", labels=LABELS, example="where is my card"),
            replace(expert, id="endless", root="endless@1", endless=True),
            replace(expert, id="broken", root="broken@1", adapter=BROKEN),
        )
        return {model.id: model for model in (base, one, two, *others)}

    def _load_adapter(self, adapter: AdapterHash) -> LoadedAdapter:
        """A random adapter, strong enough to change what the base says."""
        if adapter == BROKEN:
            raise BrokenAdapter("The adapter's file is truncated.", fix="Import it again.")
        draw = torch.Generator().manual_seed(int(adapter[0]))
        factors = {}
        for layer in range(self._config.num_layers):
            for site in SITES:
                wide_in, wide_out = self._config.widths(site)
                a, b = torch.randn(4, wide_in, generator=draw), torch.randn(wide_out, 4, generator=draw)
                factors[layer, site] = (a.bfloat16() * 0.3, b.bfloat16() * 0.3)
        return LoadedAdapter(LoraAdapter(adapter, LoraShape(4, 4.0, False, SITES), self._base.fingerprint, factors))
