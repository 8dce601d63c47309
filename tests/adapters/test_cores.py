"""Shared-basis adapters: the basis, its folder, the file of the cores, and the LoRA that they expand to."""

import json

import pytest
import torch
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig as HfConfig
from transformers import LlamaForCausalLM

from chiliad.adapters import Basis, BasisFolder, CoreAdapter, CoreShape, as_lora, load_adapter, save_adapter
from chiliad.adapters.basis import BasisHash
from chiliad.errors import BrokenAdapter
from chiliad.models import SITES, Llama, LlamaConfig
from chiliad.models.llama import random_tensors

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

CONFIG = LlamaConfig(32, 48, 2, 4, 2, 8, 61, 64, 1e4, 1e-5, tied=True)
ABOUT = {"base_id": "tiny", "base_fingerprint": "f" * 64}


@pytest.fixture(scope="module")
def model():
    return Llama.random(CONFIG, seed=4)


@pytest.fixture(scope="module")
def basis(model):
    return Basis.of(model.weights(), 5)


def _cores(basis, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {key: (torch.randn(basis.rank, basis.rank, generator=generator).bfloat16(),) for key, _ in basis.pairs()}


@pytest.fixture
def saved(tmp_path, basis):
    """(an adapter's folder, the folder of bases, its hash)"""
    bases, folder = BasisFolder(tmp_path / "basis"), tmp_path / "adapter"
    bases.put(basis)
    folder.mkdir()
    return folder, bases, save_adapter(folder, CoreShape(basis), _cores(basis), **ABOUT)


def test_a_basis_holds_the_leading_directions_of_each_weight(model, basis):
    weights, pairs = dict(model.weights()), dict(basis.pairs())
    assert pairs.keys() == weights.keys()
    for key, (down, up) in pairs.items():
        u, values, v = torch.linalg.svd(weights[key])
        closest = u[:, :5] * values[:5] @ v[:5]
        assert (up.float() @ down.float() - closest).norm() < 0.02 * closest.norm()
        torch.testing.assert_close(down.float() @ down.float().T, torch.eye(5), atol=0.02, rtol=0)
        torch.testing.assert_close(up.float().norm(dim=0), values[:5], atol=0, rtol=0.01)


def test_a_basis_is_named_by_its_numbers_and_comes_back_as_it_was(basis, model, tmp_path):
    BasisFolder(tmp_path).put(basis)
    again = BasisFolder(tmp_path).get(basis.hash)
    assert again.hash == basis.hash
    assert all(
        torch.equal(a, b) for key, pair in basis.pairs() for a, b in zip(pair, dict(again.pairs())[key], strict=True)
    )
    assert Basis.of(model.weights(), 4).hash != basis.hash


def test_cores_come_back_and_take_hardly_more_than_their_numbers(saved, basis):
    folder, bases, name = saved
    adapter = load_adapter(folder, base_fingerprint="f" * 64, basis=bases)
    assert isinstance(adapter, CoreAdapter)
    assert adapter.hash == name
    wanted = _cores(basis)
    for (layer, site), (core,) in wanted.items():
        assert torch.equal(adapter.cores[site][layer], core)
    assert adapter.bytes == 2 * len(wanted) * 25
    assert (folder / "adapter_model.safetensors").stat().st_size < adapter.bytes + 1024


def test_a_real_size_is_27_kilobytes(tmp_path):
    shape = CoreShape(
        Basis.made_of(
            {site: torch.zeros(30, 8, 2, dtype=torch.bfloat16) for site in SITES},
            {site: torch.zeros(30, 2, 8, dtype=torch.bfloat16) for site in SITES},
        )
    )
    save_adapter(tmp_path, shape, {key: (torch.zeros(8, 8),) for key, _ in shape.basis.pairs()}, **ABOUT)
    assert shape.numbers == 13_440
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 28_000


def test_expanded_it_is_a_lora_that_peft_loads_with_equal_logits(saved, basis, model, tmp_path):
    folder, bases, _ = saved
    adapter = load_adapter(folder, basis=bases, dtype=torch.float32)
    lora = as_lora(adapter)
    wide = tmp_path / "wide"
    wide.mkdir()
    save_adapter(wide, lora.shape, lora.unscaled(), **ABOUT, dtype=torch.float32)
    hf = LlamaForCausalLM(
        HfConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=61, max_position_embeddings=64, tie_word_embeddings=True, rms_norm_eps=1e-5,
        )
    ).eval()  # fmt: skip
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])

    def project(layer, group, x):
        outs = model.project(layer, group, x).split(CONFIG.group_widths(group)[1], dim=-1)
        pairs = dict(basis.pairs())
        return torch.cat(
            [
                y + x @ pairs[layer, s][0].float().T @ adapter.cores[s][layer].T @ pairs[layer, s][1].float().T
                for y, s in zip(outs, group.sites, strict=True)
            ],
            dim=-1,
        )

    hf.load_state_dict({**random_tensors(CONFIG, 4), "lm_head.weight": model.embedding}, strict=False)
    peft = PeftModel.from_pretrained(hf, wide).eval()
    with torch.no_grad():
        wanted = peft(ids.unsqueeze(0)).logits[0]
    ours = model.logits(model.hidden(ids, torch.arange(len(ids)), project=project))
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-3)
    assert (ours - model.logits(model.hidden(ids, torch.arange(len(ids))))).abs().max() > 0.1


def test_peft_refuses_the_kind_by_its_name(saved):
    with pytest.raises((KeyError, ValueError), match="SHARED_BASIS"):
        PeftConfig.from_pretrained(saved[0])


def test_without_its_basis_an_adapter_is_refused(saved, tmp_path):
    folder = saved[0]
    with pytest.raises(BrokenAdapter, match="not the basis"):
        load_adapter(folder)
    with pytest.raises(BrokenAdapter, match="is not in"):
        load_adapter(folder, basis=BasisFolder(tmp_path / "elsewhere"))


def test_a_basis_that_was_changed_is_refused(saved, basis):
    path = saved[1].path(basis.hash)
    tensors = load_file(path)
    tensors["q_proj.down"][0, 0, 0] += 1
    save_file(tensors, path)
    with pytest.raises(BrokenAdapter, match="not the basis that it is named after"):
        load_adapter(saved[0], basis=BasisFolder(path.parent))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BrokenAdapter, match="cannot be read"):
        load_adapter(saved[0], basis=BasisFolder(path.parent))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("q_proj.core"),
        lambda t: t.update({"q_proj.core": torch.zeros(2, 4, 4)}),
        lambda t: t.update({"lm_head.core": torch.zeros(2, 5, 5)}),
        lambda t: t["q_proj.core"].fill_(float("nan")),
    ],
)
def test_damaged_cores_are_refused(saved, change):
    folder, bases, _ = saved
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(BrokenAdapter):
        load_adapter(folder, basis=bases)


@pytest.mark.parametrize("name", ["../../etc/passwd", 7, None])
def test_a_basis_is_never_looked_for_outside_its_folder(saved, name):
    path = saved[0] / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "basis": name}))
    with pytest.raises(BrokenAdapter):
        load_adapter(saved[0], basis=saved[1])


def test_an_unknown_basis_says_so(tmp_path):
    with pytest.raises(BrokenAdapter, match="abc"):
        BasisFolder(tmp_path).get(BasisHash("abc"))
