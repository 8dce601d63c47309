"""Adapters on disk: `peft` reads ours and we read its, with equal logits; broken files are refused by name."""

import json
import pickle

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig as HfConfig
from transformers import LlamaForCausalLM

from chiliad.adapters import LoraShape, load_adapter, save_adapter
from chiliad.errors import BrokenAdapter, WrongBase
from chiliad.models import SITES, Llama, LlamaConfig

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

IDS = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])


@pytest.fixture(scope="module")
def hf():
    torch.manual_seed(0)
    config = HfConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=61, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _ours(hf, adapter):
    """Logits by our decoder with the adapter applied the plain way."""
    model = Llama(LlamaConfig.from_hf(hf.config.to_dict()), hf.state_dict(), torch.float32)

    def project(layer, group, x):
        y = model.project(layer, group, x)
        outs = y.split(model.config.group_widths(group)[1], dim=-1)
        pairs = [adapter.factors.get((layer, site)) for site in group.sites]
        return torch.cat([o if p is None else o + x @ p[0].T @ p[1].T for o, p in zip(outs, pairs, strict=True)], -1)

    return model.logits(model.hidden(IDS, torch.arange(len(IDS)), project=project))


def _factors(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    config = LlamaConfig(32, 48, 2, 4, 2, 8, 61, 64, 1e4, 1e-5, tied=True)
    return {
        (layer, site): (
            torch.randn(shape.rank, config.widths(site)[0], generator=generator) * 0.2,
            torch.randn(config.widths(site)[1], shape.rank, generator=generator) * 0.2,
        )
        for layer in range(2)
        for site in shape.targets
    }


@pytest.mark.parametrize(
    "shape",
    [LoraShape(4, 8.0, False, SITES), LoraShape(3, 5.0, True, SITES), LoraShape(2, 4.0, False, ("q_proj", "up_proj"))],
)
def test_peft_loads_ours_unchanged_with_equal_logits(hf, tmp_path, shape):
    saved = save_adapter(tmp_path, shape, _factors(shape), base_id="tiny", base_fingerprint="f" * 64)
    adapter = load_adapter(tmp_path, base_fingerprint="f" * 64, dtype=torch.float32)
    assert adapter.hash == saved
    base = LlamaForCausalLM(hf.config).eval()
    base.load_state_dict(hf.state_dict())
    peft = PeftModel.from_pretrained(base, tmp_path).eval().float()
    with torch.no_grad():
        wanted = peft(IDS.unsqueeze(0)).logits[0]
        plain = hf(IDS.unsqueeze(0)).logits[0]
    torch.testing.assert_close(_ours(hf, adapter), wanted, atol=1e-4, rtol=1e-3)
    assert (wanted - plain).abs().max() > 0.01


def test_we_load_what_peft_saves(hf, tmp_path):
    base = LlamaForCausalLM(hf.config).eval()
    base.load_state_dict(hf.state_dict())
    config = LoraConfig(
        r=4, lora_alpha=6, use_rslora=True, target_modules=["v_proj", "down_proj"], init_lora_weights=False
    )
    peft = get_peft_model(base, config).eval()
    peft.save_pretrained(tmp_path)
    with torch.no_grad():
        wanted = peft(IDS.unsqueeze(0)).logits[0]
    adapter = load_adapter(tmp_path, base_fingerprint="f" * 64, dtype=torch.float32)
    assert adapter.base_fingerprint is None
    torch.testing.assert_close(_ours(hf, adapter), wanted, atol=1e-4, rtol=1e-3)


@pytest.fixture
def saved(tmp_path):
    shape = LoraShape(2, 4.0, False, SITES)
    save_adapter(tmp_path, shape, _factors(shape), base_id="tiny", base_fingerprint="f" * 64)
    return tmp_path


def test_files_are_bf16_and_name_the_base_honestly(saved):
    tensors = load_file(saved / "adapter_model.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.bfloat16}
    assert json.loads((saved / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_another_base_is_refused(saved):
    with pytest.raises(WrongBase, match="ffffffffffff"):
        load_adapter(saved, base_fingerprint="0" * 64)


def test_a_truncated_file_is_refused(saved):
    path = saved / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BrokenAdapter, match="not a whole safetensors file"):
        load_adapter(saved)


def test_a_pickle_is_never_read(saved):
    (saved / "adapter_model.safetensors").unlink()
    (saved / "adapter_model.bin").write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(BrokenAdapter, match="pickle"):
        load_adapter(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[next(iter(t))].fill_(float("nan")), "not finite"),
        (lambda t: t.pop(next(iter(t))), "lacks matching"),
        (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.zeros(2, 2)}), "lm_head"),
    ],
)
def test_damaged_tensors_are_refused(saved, change, message):
    path = saved / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(BrokenAdapter, match=message):
        load_adapter(saved)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("peft_type", "PREFIX_TUNING"),
        ("use_dora", True),
        ("modules_to_save", ["lm_head"]),
        ("r", None),
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "OLoRA"),
        ("alora_invocation_tokens", []),
        ("alora_invocation_tokens", [5, -1]),
        ("alora_invocation_tokens", [True]),
        ("alora_invocation_tokens", "<|im_start|>"),
        ("layer_replication", [[0, 2], [1, 2]]),
    ],
)
def test_settings_that_cannot_be_served_are_refused(saved, field, value):
    path = saved / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(BrokenAdapter):
        load_adapter(saved)
