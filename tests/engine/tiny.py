"""A tiny random base, experts made with `peft`, a byte tokenizer, and what `transformers` + `peft` answer."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from peft import IA3Config, LoraConfig, PeftConfig, PeftModel, get_peft_model
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import LlamaConfig as HfConfig
from transformers import LlamaForCausalLM

from chiliad.adapters import (
    Adapter,
    AdapterHash,
    Basis,
    BasisFolder,
    CoreShape,
    LoadedAdapter,
    LoraAdapter,
    load_adapter,
    save_adapter,
)
from chiliad.base import Tokenizer
from chiliad.config import EngineSettings
from chiliad.engine.request import Request, RequestId, SamplingParams
from chiliad.models import Llama, LlamaConfig

EOS = 0
END = frozenset({EOS})
SPECIAL = ["<|im_end|>", "<|im_start|>"]
LETTERS = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
SETTINGS = EngineSettings(batch_max=6, context_max=96, prefill_tokens_max=32, queue_max=64)

EXPERTS = {
    "all linear, r=4": {"r": 4, "target_modules": "all-linear"},
    "another of the same shape": {"r": 4, "target_modules": "all-linear", "lora_alpha": 9},
    "r=2 on q and v": {"r": 2, "target_modules": ["q_proj", "v_proj"]},
    "r=6 on the mlp, rslora": {"r": 6, "target_modules": ["gate_proj", "up_proj", "down_proj"], "use_rslora": True},
    "only the first layer": {"r": 3, "target_modules": ["k_proj", "o_proj"], "layers_to_transform": [0]},
}


OTHER_KINDS = {
    "cores of rank 4": {"rank": 4},
    "other cores on the same basis": {"rank": 4},
    "cores of rank 3": {"rank": 3},
    "IA3": {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "IA3 on keys": {"target_modules": ["k_proj"], "feedforward_modules": []},
}
"""shared-basis experts, which `peft` runs expanded, and IA3"""

NAMES = [None, *EXPERTS, *OTHER_KINDS]


def prompt(seed: int, length: int) -> list[int]:
    """Random tokens, none of them special."""
    return torch.randint(2, 250, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def write_tokenizer(folder: Path) -> Tokenizer:
    """One token for each byte, so that characters of several bytes come in parts."""
    backend = Backend(models.BPE(vocab={token: i for i, token in enumerate(LETTERS)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": SPECIAL[0]}))
    return Tokenizer(folder / "tokenizer.json")


@dataclass
class Tiny:
    """The same weights twice: as `transformers` runs them, and as the engine does."""

    folder: Path
    tokenizer: Tokenizer
    reference: LlamaForCausalLM
    model: Llama
    adapters: dict[str, Adapter] = field(default_factory=dict)
    peft_models: dict[str, torch.nn.Module] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Tiny:
        torch.manual_seed(7)
        config = HfConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=len(LETTERS), max_position_embeddings=128, tie_word_embeddings=True, initializer_range=0.3,
        )  # fmt: skip
        reference = LlamaForCausalLM(config).eval()
        model = Llama(LlamaConfig.from_hf(config.to_dict()), reference.state_dict(), torch.float32)
        tiny = cls(folder, write_tokenizer(folder), reference, model)
        for name, options in EXPERTS.items():
            tiny._add_expert(name, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options))
        for name, options in OTHER_KINDS.items():
            if "rank" in options:
                tiny._add_cores(name, options["rank"])
            else:
                tiny._add_expert(name, IA3Config(task_type="CAUSAL_LM", init_ia3_weights=False, **options))
        return tiny

    @cached_property
    def bf16(self) -> Llama:
        """The same weights, rounded: what the native runner takes."""
        return Llama(self.model.config, self.reference.state_dict(), torch.bfloat16)

    def load(self, adapter: AdapterHash) -> LoadedAdapter:
        """What the engine is given to read adapters with."""
        return LoadedAdapter(next(known for known in self.adapters.values() if known.hash == adapter))

    def hash(self, expert: str | None) -> AdapterHash | None:
        return None if expert is None else self.adapters[expert].hash

    def answer(self, expert: str | None, prompt: Sequence[int], tokens: int) -> tuple[int, ...]:
        """Greedy tokens by `transformers` and `peft`."""
        model = self.reference if expert is None else self.peft_models[expert]
        ids = list(prompt)
        for _ in range(tokens):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        return tuple(ids[len(prompt) :])

    def logprobs(self, expert: str | None, ids: Iterable[int]) -> torch.Tensor:
        """[tokens, vocab] by `transformers` and `peft`."""
        model = self.reference if expert is None else self.peft_models[expert]
        with torch.no_grad():
            return model(torch.tensor([list(ids)])).logits[0].log_softmax(-1)

    def _add_cores(self, name: str, rank: int) -> None:
        """Saved and read as our own kind, and for `peft` as the LoRA that it expands to."""
        basis, bases = Basis.of(self.model.weights(), rank), BasisFolder(self.folder / "basis")
        bases.put(basis)
        generator = torch.Generator().manual_seed(len(self.adapters))
        cores = {key: (0.3 * torch.randn(rank, rank, generator=generator),) for key, _ in basis.pairs()}
        folder, wide = self.folder / str(len(self.adapters)), self.folder / f"{len(self.adapters)}-expanded"
        for one in (folder, wide):
            one.mkdir()
        about = {"base_id": "tiny", "base_fingerprint": "f" * 64}
        save_adapter(folder, CoreShape(basis), cores, **about)
        self.adapters[name] = load_adapter(folder, dtype=torch.float32, basis=bases)
        expanded = self.adapters[name].expanded()
        save_adapter(wide, expanded.shape, expanded.unscaled(), **about, dtype=torch.float32)
        model = PeftModel.from_pretrained(copy.deepcopy(self.reference), str(wide))
        self.peft_models[name] = model.eval()

    def _add_expert(self, name: str, config: PeftConfig) -> None:
        self.peft_models[name] = get_peft_model(copy.deepcopy(self.reference), config).eval()
        folder = self.folder / str(len(self.adapters))
        self.peft_models[name].save_pretrained(str(folder))
        self.adapters[name] = load_adapter(folder, dtype=torch.float32)


def request(prompt: Iterable[int], adapter: AdapterHash | None = None, *, id_: str = "r", **options: object) -> Request:
    """A request in few words: `Request` fields and `SamplingParams` fields side by side."""
    own = {key: options.pop(key) for key in list(options) if key in Request.__dataclass_fields__}
    return Request(RequestId(id_), tuple(prompt), SamplingParams(**options), adapter, **own)


def broken(adapter: LoraAdapter) -> LoraAdapter:
    """The same adapter with a number that is none."""
    factors = {key: (a, b * float("nan")) for key, (a, b) in adapter.factors.items()}
    return replace(adapter, hash=AdapterHash("broken"), factors=factors)
