"""IA3 adapters on disk: `peft` reads ours and we read its, with equal logits."""

import json

import pytest
import torch
from peft import IA3Config, PeftModel, get_peft_model
from transformers import LlamaConfig as HfConfig
from transformers import LlamaForCausalLM

from chiliad.adapters import Ia3Adapter, Ia3Shape, as_lora, load_adapter, save_adapter
from chiliad.errors import BrokenAdapter
from chiliad.models import Group, Llama, LlamaConfig

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

IDS = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])


def _hf():
    torch.manual_seed(0)
    config = HfConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=61, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _ours(hf, adapter):
    """Logits by our decoder with the factors applied the plain way."""
    model = Llama(LlamaConfig.from_hf(hf.config.to_dict()), hf.state_dict(), torch.float32)
    ones = torch.ones(())

    def project(layer, group, x):
        if group is Group.DOWN:
            x = x * adapter.scales.get((layer, "down_proj"), ones)
        outs = model.project(layer, group, x).split(model.config.group_widths(group)[1], dim=-1)
        if group is not Group.QKV:
            return torch.cat(outs, dim=-1)
        return torch.cat(
            [y * adapter.scales.get((layer, s), ones) for y, s in zip(outs, group.sites, strict=True)], dim=-1
        )

    return model.logits(model.hidden(IDS, torch.arange(len(IDS)), project=project))


def _scales(config, targets):
    generator = torch.Generator().manual_seed(1)
    return {
        (layer, site): ((1 + 0.5 * torch.randn(config.scaled_width(site), generator=generator)).bfloat16(),)
        for layer in range(2)
        for site in targets
    }


@pytest.mark.parametrize("targets", [("k_proj", "v_proj", "down_proj"), ("v_proj",), ("down_proj",)])
def test_peft_loads_ours_unchanged_with_equal_logits(tmp_path, targets):
    hf = _hf()
    config = LlamaConfig.from_hf(hf.config.to_dict())
    about = {"base_id": "tiny", "base_fingerprint": "f" * 64}
    saved = save_adapter(tmp_path, Ia3Shape(targets), _scales(config, targets), **about)
    adapter = load_adapter(tmp_path, base_fingerprint="f" * 64, dtype=torch.float32)
    assert isinstance(adapter, Ia3Adapter)
    assert adapter.hash == saved
    assert adapter.shape == Ia3Shape(targets)
    with torch.no_grad():
        plain = hf(IDS.unsqueeze(0)).logits[0]
        wanted = PeftModel.from_pretrained(hf, tmp_path).eval().float()(IDS.unsqueeze(0)).logits[0]
    torch.testing.assert_close(_ours(_hf(), adapter), wanted, atol=1e-4, rtol=1e-3)
    assert (wanted - plain).abs().max() > 0.01


def test_we_load_what_peft_saves_by_its_own_choice_of_targets(tmp_path):
    peft = get_peft_model(_hf(), IA3Config(task_type="CAUSAL_LM", init_ia3_weights=False)).eval()
    peft.save_pretrained(tmp_path)
    with torch.no_grad():
        wanted = peft(IDS.unsqueeze(0)).logits[0]
    adapter = load_adapter(tmp_path, dtype=torch.float32)
    assert {site for _, site in adapter.scales} == {"k_proj", "v_proj", "down_proj"}
    torch.testing.assert_close(_ours(_hf(), adapter), wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"target_modules": ["q_proj", "down_proj"]},
        {"feedforward_modules": []},
        {"target_modules": []},
        {"modules_to_save": ["lm_head"]},
    ],
)
def test_settings_that_cannot_be_served_are_refused(tmp_path, change):
    config = LlamaConfig.from_hf(_hf().config.to_dict())
    shape = Ia3Shape()
    save_adapter(tmp_path, shape, _scales(config, shape.targets), base_id="tiny", base_fingerprint="f" * 64)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BrokenAdapter):
        load_adapter(tmp_path)


def test_it_is_no_lora(tmp_path):
    config = LlamaConfig.from_hf(_hf().config.to_dict())
    save_adapter(tmp_path, Ia3Shape(), _scales(config, Ia3Shape().targets), base_id="tiny", base_fingerprint="f" * 64)
    with pytest.raises(BrokenAdapter, match="no LoRA does the same"):
        as_lora(load_adapter(tmp_path))
