"""A base model in memory, with everything that turns a conversation into a request for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from weakref import WeakValueDictionary

from chiliad.adapters import (
    Adapter,
    AdapterHash,
    AdapterKind,
    Basis,
    BasisFolder,
    LoadedAdapter,
    always_active,
    begin_loading,
    load_adapter,
)
from chiliad.adapters.basis import BASIS_FOLDER
from chiliad.base import Base, ChatTemplate, compact_template
from chiliad.config import Precision, Settings
from chiliad.data import Message
from chiliad.engine import Engine, Grammar, Request, RequestId, SamplingParams
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.prefixes import prefix_not_served, require_positions
from chiliad.errors import BadRequest, BrokenAdapter, TrainingError
from chiliad.evals import Answer
from chiliad.kernels import BLOCK_INPUTS, native_for
from chiliad.models import ARCHITECTURES, SITES, Transformer, config_of, in_codes, load_model, takes_codes
from chiliad.registry import ExpertVersion
from chiliad.store.files import write_atomic
from chiliad.training import Recipe
from chiliad.training.memory import release_freed_memory

Turns = Sequence[Mapping[str, str]]


class ServedBase:
    """The engine's thread starts with the first request."""

    def __init__(self, base: Base, settings: Settings) -> None:
        self.base = base
        self.tokenizer = base.tokenizer()
        self.chat_template = base.chat_template(self.tokenizer)
        self.expert_template = compact_template(self.chat_template)
        self._settings = settings
        self.basis_folder = BasisFolder(settings.workspace / BASIS_FOLDER)
        self._folders: dict[AdapterHash, Path] = {}
        self._models: WeakValueDictionary[Precision, Transformer] = WeakValueDictionary()

    @property
    def model(self) -> Transformer:
        """Read when somebody wants it and nobody has it: an engine of compiled code keeps only its own copy."""
        return self.model_in(Precision.BF16)

    def model_in(self, precision: Precision) -> Transformer:
        """The model with its linear layers' matrices in that precision, for training. Raises TrainingError."""
        model = self._models.get(precision)
        if model is None:
            model = self._models[precision] = self._read(precision)
        return model

    def _read(self, precision: Precision) -> Transformer:
        path, config = self.base.path, self.base.config
        if precision is Precision.BF16:
            return load_model(path, config)
        if not takes_codes(config_of(config)):
            raise TrainingError(
                f"{self.base.id} has matrices whose inputs are no multiple of {BLOCK_INPUTS}: they cannot be kept in codes.",
                fix="Train with the base in bf16.",
            )
        return load_model(path, config, keep=in_codes(precision, self.base.quantised()))

    @cached_property
    def engine(self) -> Engine:
        engine = Engine(
            self.model,
            self.tokenizer,
            self._load_adapter,
            self._settings.engine,
            quantised=self.base.quantised(),
            threads=self._settings.threads,
        )
        release_freed_memory()
        return engine

    def require_served(self, recipe: Recipe) -> None:
        """Raises NotServed for a prefix where none is computed, before somebody trains one."""
        if recipe.kind is not AdapterKind.PREFIX:
            return
        model, config = ARCHITECTURES[self.base.config["model_type"]].model, config_of(self.base.config)
        if native_for() and NativeRunner.is_built_for(model, config, self._settings.engine):
            raise prefix_not_served()
        require_positions(recipe.virtual_tokens, self.context_max, config.max_position_embeddings)

    @property
    def context_max(self) -> int:
        """Tokens of a prompt and its answer together."""
        return min(self._settings.engine.context_max, int(self.base.config["max_position_embeddings"]))

    @property
    def precision(self) -> str:
        return self._settings.engine.precision

    @property
    def about(self) -> str:
        """One line for people, once it is loaded: what computes it, and the memory that its weights take."""
        weights = self.base.weights_path.stat().st_size / 1e6
        return f"{self.base.id}: {weights:,.0f} MB of weights, computed with {self.engine.computes_with}"

    @property
    def can_answer(self) -> bool:
        """Whether a request would be worked on: by the engine that runs, or one that it would start."""
        return "engine" not in self.__dict__ or self.engine.is_working

    @property
    def end_token(self) -> int:
        """What ends an answer in this base's chat format."""
        assert self.tokenizer.eos_token is not None, "a converted base names its end token"
        return self.tokenizer.encode(self.tokenizer.eos_token)[-1]

    def close(self) -> None:
        if "engine" in self.__dict__:
            self.engine.close()

    def rest(self) -> None:
        """Stop the engine and give its memory back; requests under way are aborted. The next one starts another."""
        self.close()
        self.__dict__.pop("engine", None)
        release_freed_memory()

    def know(self, version: ExpertVersion, folder: Path) -> None:
        """Say where an adapter's files are. Raises WrongBase for a version made for another base."""
        version.require_base(self.base.id, self.base.fingerprint)
        self._folders[version.adapter_hash] = folder

    def adapter_in(self, folder: Path) -> Adapter:
        """The adapter in a version's folder, to train or look at. Raises BrokenAdapter, WrongBase."""
        return always_active(load_adapter(folder, base_fingerprint=self.base.fingerprint, basis=self.basis_folder))

    def shared_basis(self, rank: int) -> Basis:
        """The basis of this rank that new experts of the kind shared-basis get: made once for this base, kept beside it and
        in the workspace. Raises StoreError, and TrainingError for a rank that its matrices don't have."""
        known = self.base.path / f"basis-{rank}.safetensors"
        if known.is_file():
            basis = Basis.from_bytes(known.read_bytes())
        else:
            basis = _made(self.model, rank)
            write_atomic(known, basis.to_bytes())
        self.basis_folder.put(basis)
        return basis

    def prompt(self, template: ChatTemplate, turns: Turns) -> tuple[int, ...]:
        """The tokens of a conversation up to where the answer begins. Raises BadRequest."""
        text = template.render(turns)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRequest("The input holds half a character.", fix="Give it as UTF-8 text.") from error
        return tuple(self.tokenizer.encode(text))

    def answer_tokens(self, answer: str) -> tuple[int, ...]:
        return (*self.tokenizer.encode(answer), self.end_token)

    @lru_cache(maxsize=256)  # noqa: B019 - lives as long as the process, like the bases themselves
    def choices(self, answers: tuple[str, ...]) -> tuple[tuple[int, ...], ...] | None:
        """A closed answer set as tokens; None for no set."""
        return tuple(self.answer_tokens(answer) for answer in answers) or None

    def request(
        self,
        request_id: str,
        prompt: tuple[int, ...],
        sampling: SamplingParams,
        *,
        adapter: AdapterHash | None = None,
        choices: tuple[tuple[int, ...], ...] | None = None,
        grammar: Grammar | None = None,
        prompt_logprobs: int | None = None,
        share: str | None = None,
        priority: int = 0,
    ) -> Request:
        """Without a share each expert is one of its own."""
        return Request(
            id=RequestId(request_id),
            prompt=prompt,
            sampling=sampling,
            adapter=adapter,
            choices=choices,
            grammar=grammar,
            eos_ids=self.tokenizer.eos_ids,
            prompt_logprobs=prompt_logprobs,
            share=adapter or "" if share is None else share,
            priority=priority,
        )

    def answerer(self, version: ExpertVersion | None, template: ChatTemplate) -> Answers:
        """An `Answerer` for evals: an expert, or with None the base itself."""
        return Answers(self, version.adapter_hash if version else None, template)

    def _load_adapter(self, adapter: AdapterHash) -> LoadedAdapter:
        if adapter not in self._folders:
            raise BrokenAdapter(f"The adapter {adapter[:12]} has been removed.", fix="Ask another version.")
        folder, fingerprint = self._folders[adapter], self.base.fingerprint
        return begin_loading(folder, adapter, base_fingerprint=fingerprint, basis=self.basis_folder)


def _made(model: Transformer, rank: int) -> Basis:
    rank_max = min(min(model.config.widths(site)) for site in SITES)
    if rank > rank_max:
        raise TrainingError(
            f"A shared basis of rank {rank} needs more directions than the base's matrices have.",
            fix=f"Give a rank of at most {rank_max}.",
        )
    return Basis.of(model.weights(), rank)


class Answers:
    """Greedy answers to many prompts at once. A prompt that does not fit into the context gets an empty answer."""

    def __init__(self, served: ServedBase, adapter: AdapterHash | None, template: ChatTemplate) -> None:
        self._served, self._adapter, self._template = served, adapter, template

    def __call__(
        self, prompts: Sequence[Sequence[Message]], choices: tuple[str, ...] | None, tokens_max: int
    ) -> list[Answer]:
        served, sampling = self._served, SamplingParams(max_tokens=tokens_max)
        allowed = served.choices(choices) if choices else None
        tokens = [served.prompt(self._template, turns_of(prompt)) for prompt in prompts]
        requests = [
            served.request(str(i), prompt, sampling, adapter=self._adapter, choices=allowed)
            for i, prompt in enumerate(tokens)
        ]
        room = served.engine.context_max
        fitting = [one for one in requests if len(one.prompt) + one.answer_tokens_max <= room]
        done = {completion.request: completion for completion in served.engine.generate(fitting)}
        return [
            Answer(done[request.id].text, len(prompt), len(done[request.id].tokens))
            if request.id in done
            else Answer("", len(prompt), 0)
            for request, prompt in zip(requests, tokens, strict=True)
        ]


def turns_of(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]
