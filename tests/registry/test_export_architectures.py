"""Exports of experts on every architecture, as `transformers` reads them."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from chiliad.base import BaseStore
from chiliad.errors import RegistryError
from chiliad.models import load_model
from chiliad.registry import ExpertFacts
from chiliad.registry.export_gguf import export_gguf
from chiliad.registry.export_merged import export_merged
from tests.models.architectures import base_folder, make, widths
from tests.registry.tiny import write_adapter

SIX_LAYERS = {"num_hidden_layers": 6, "layer_types": [*["sliding_attention"] * 5, "full_attention"]}
KINDS = {
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {"head_dim": 128},
    "gemma3": {**SIX_LAYERS, "head_dim": 256, "query_pre_attn_scalar": 256},
}
"""what llama.cpp can compute of each, in the sizes that `transformers` takes for granted when it reads a GGUF file"""


def expert_on(registry, base):
    facts = ExpertFacts(base_id=base.id, base_fingerprint=base.fingerprint, kind="text")
    sizes = {"widths": widths(base.config), "layers": base.config["num_hidden_layers"]}
    with registry.write_version("tickets", facts) as draft:
        write_adapter(draft.folder, fingerprint=base.fingerprint, **sizes)
    return registry.get(draft.ref), registry.folder(draft.ref)


def logits(folder, **options):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    with torch.no_grad():
        return model(torch.arange(30).unsqueeze(0)).logits[0]


@pytest.mark.parametrize("name", KINDS)
def test_a_merged_model_and_its_gguf_file_are_the_same_to_transformers_and_to_us(name, registry, tmp_path):
    base = base_folder(tmp_path / "model", make(name, **KINDS[name])[0])
    version, source = expert_on(registry, base)
    export_merged(version, source, base, tmp_path / "merged")
    export_gguf(version, source, base, tmp_path / "out")
    merged = logits(tmp_path / "merged")
    if name != "mistral":  # which is a llama there
        torch.testing.assert_close(logits(tmp_path / "out", gguf_file="expert.gguf"), merged, atol=1e-4, rtol=1e-4)
    again = BaseStore(tmp_path / "cache").pull(str(tmp_path / "out" / "expert.gguf"), name="again")
    model = load_model(again.path, again.config, torch.float32)
    ids = torch.arange(30)
    torch.testing.assert_close(model.logits(model.hidden(ids, ids)), merged, atol=1e-4, rtol=1e-4)
    assert (merged - logits(base.path)).abs().max() > 0.1


@pytest.mark.parametrize("name", ["mistral, window", "qwen2, window", "gemma3"])
def test_windows_that_llama_cpp_does_not_know_are_not_exported_to_it(name, registry, tmp_path):
    base = base_folder(tmp_path / "model", make(name)[0])
    version, source = expert_on(registry, base)
    with pytest.raises(RegistryError, match="would not compute"):
        export_gguf(version, source, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
