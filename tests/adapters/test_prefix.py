"""Prefixes on disk: `peft` reads ours and we read its, with equal logits."""

import json

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from chiliad.adapters import AdapterKind, PrefixAdapter, PrefixShape, as_lora, kind_of, load_adapter, save_adapter
from chiliad.adapters.prefix import BEFORE
from chiliad.errors import BrokenAdapter
from chiliad.models import Llama, LlamaConfig, visible
from tests.adapters.test_ia3 import IDS, _hf

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

TOKENS = 5


def logits(hf, adapter):
    """By our decoder, with the prefix put before every layer's keys and values the plain way."""
    model = Llama(LlamaConfig.from_hf(hf.config.to_dict()), hf.state_dict(), torch.float32)
    count = adapter.shape.virtual_tokens

    def attend(layer, q, k, v):
        keys, values = adapter.layers[layer, BEFORE]
        parts = (q, torch.cat((keys, k)), torch.cat((values, v)))
        seen = visible(len(q), count + len(q), None)
        out = F.scaled_dot_product_attention(*(x.transpose(0, 1) for x in parts), attn_mask=seen, enable_gqa=True)
        return out.transpose(0, 1).flatten(1)

    return model.logits(model.hidden(IDS, count + torch.arange(len(IDS)), attend))


def theirs(model):
    with torch.no_grad():
        return model(IDS.unsqueeze(0)).logits[0]


def written(folder, seed=1):
    generator = torch.Generator().manual_seed(seed)
    layers = {
        (layer, BEFORE): tuple(torch.randn(TOKENS, 2, 8, generator=generator) for _ in range(2)) for layer in range(2)
    }
    folder.mkdir()
    about = {"base_id": "tiny", "base_fingerprint": "f" * 64, "dtype": torch.float32}
    name = save_adapter(folder, PrefixShape(TOKENS), layers, **about)
    return layers, name


def test_peft_reads_ours_with_equal_logits(tmp_path):
    layers, name = written(tmp_path / "ours")
    hf = _hf()
    plain = theirs(hf)
    adapter = load_adapter(tmp_path / "ours", base_fingerprint="f" * 64, dtype=torch.float32)
    changed = theirs(PeftModel.from_pretrained(hf, str(tmp_path / "ours")).eval())
    assert (adapter.hash, kind_of(adapter)) == (name, AdapterKind.PREFIX)
    assert adapter.bytes == 4 * 2 * 2 * TOKENS * 16
    for key, pair in layers.items():
        assert all(torch.equal(a, b) for a, b in zip(adapter.layers[key], pair, strict=True))
    torch.testing.assert_close(logits(_hf(), adapter), changed, atol=1e-4, rtol=1e-4)
    assert (changed - plain).abs().max() > 0.1


@pytest.mark.parametrize("projection", [False, True], ids=["plain", "projected"])
def test_we_read_what_peft_writes(tmp_path, projection):
    config = PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=TOKENS, prefix_projection=projection, encoder_hidden_size=12
    )
    model = get_peft_model(_hf(), config).eval()
    wanted = theirs(model)
    model.save_pretrained(str(tmp_path))
    adapter = load_adapter(tmp_path, dtype=torch.float32)
    assert isinstance(adapter, PrefixAdapter)
    assert adapter.shape == PrefixShape(TOKENS)
    torch.testing.assert_close(logits(_hf(), adapter), wanted, atol=1e-4, rtol=1e-4)


CHANGES = {
    "no tokens": ({"num_virtual_tokens": 0}, "0 virtual tokens"),
    "no number of tokens": ({"num_virtual_tokens": "many"}, "many virtual tokens"),
    "too many": ({"num_virtual_tokens": 100_000}, "Train it with 1 to 256"),
    "other sizes": ({"num_layers": 3}, "no prefix of the size"),
    "no heads": ({"num_attention_heads": 0}, "no prefix of the size"),
    "no size": ({"token_dim": None}, "no prefix of the size"),
    "an encoder too": ({"num_transformer_submodules": 2}, "no prefix of the size"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_configuration_that_does_not_fit_its_numbers_is_refused(tmp_path, change):
    written(tmp_path / "a")
    told, cause = CHANGES[change]
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **told}))
    with pytest.raises(BrokenAdapter, match=cause):
        load_adapter(tmp_path / "a")


def test_other_tensors_and_numbers_that_are_none_are_refused(tmp_path):
    written(tmp_path / "a")
    path = tmp_path / "a" / "adapter_model.safetensors"
    tensors = load_file(path)
    for broken in ({"other": tensors["prompt_embeddings"]}, {**tensors, "other": torch.ones(1)}):
        save_file(broken, path)
        with pytest.raises(BrokenAdapter, match=r"holds (other|other, prompt_embeddings)"):
            load_adapter(tmp_path / "a")
    save_file({"prompt_embeddings": tensors["prompt_embeddings"] * float("nan")}, path)
    with pytest.raises(BrokenAdapter, match="not finite"):
        load_adapter(tmp_path / "a")


def test_no_lora_does_the_same(tmp_path):
    written(tmp_path / "a")
    with pytest.raises(BrokenAdapter, match="adds keys and values: no LoRA"):
        as_lora(load_adapter(tmp_path / "a"))
