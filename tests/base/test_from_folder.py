from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from chiliad.base import BaseStore
from chiliad.base.from_folder import read_folder
from chiliad.base.weights import read_weights
from chiliad.errors import BrokenBase
from tests.base.tiny import write_folder


def test_a_folder_gives_the_same_fingerprint_as_the_gguf_file_it_was_made_from(
    store: BaseStore, gguf: Path, folder: Path
) -> None:
    assert store.pull(str(folder), name="a").fingerprint == store.pull(str(gguf), name="b").fingerprint


def test_shards_and_wider_numbers_are_read(store: BaseStore, folder: Path) -> None:
    whole = store.pull(str(folder), name="whole")
    tensors = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    sharded = store.pull(str(folder), name="sharded")
    assert sharded.fingerprint == whole.fingerprint
    assert sharded.note == "stored as F32, rounded to bf16"


def test_what_transformers_saves_can_be_pulled(tmp_path: Path, store: BaseStore, folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=300,
        rope_theta=5000.0,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "hf")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "hf" / name).write_bytes((folder / name).read_bytes())
    base = store.pull(str(tmp_path / "hf"))
    assert base.config["rope_theta"] == model.config.rope_parameters["rope_theta"]
    for name, view in read_weights(base.weights_path).items():
        expected = model.state_dict()[name].to(torch.bfloat16).view(torch.uint16).numpy()
        assert np.array_equal(view.bf16(), expected)


def test_pickled_weights_are_never_opened(store: BaseStore, folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (tmp_path / "exploded",))

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BrokenBase, match=r"pytorch_model\.bin, a pickled file") as refused:
        store.pull(str(folder))
    assert "safetensors" in refused.value.fix
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(store: BaseStore, folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BrokenBase, match=name.replace(".", r"\.")):
        store.pull(str(folder))
    assert store.ids() == ()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_truncated_file_is_refused_and_leaves_nothing(store: BaseStore, folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BrokenBase):
        store.pull(str(folder))
    assert store.ids() == ()


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BrokenBase, match="outside"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"model_type": "mamba"}, "'mamba'"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"attention_bias": True}, "biases in attention"),
        ({"mlp_bias": True}, "biases in the feed-forward"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rotary scaling 'llama3'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rotary scaling 'yarn'"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "wide"}, "wide"),
        ({"num_attention_heads": 0}, "instead of"),
        ({"hidden_size": 32}, "instead of"),
        ({"num_hidden_layers": 3}, r"lacks model\.layers\.2"),
        ({"num_hidden_layers": 1}, r"has model\.layers\.1"),
        ({"tie_word_embeddings": False}, r"lacks lm_head"),
    ],
)
def test_settings_that_are_not_implemented_or_do_not_fit_are_refused(
    tmp_path: Path, store: BaseStore, settings: dict[str, object], cause: str
) -> None:
    with pytest.raises(BrokenBase, match=cause):
        store.pull(str(write_folder(tmp_path / "changed", **settings)))


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(store: BaseStore, folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["much too much"] = len(tokenizer["model"]["vocab"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(BrokenBase, match="268 tokens, but the model knows only 267"):
        store.pull(str(folder))


def test_a_template_with_an_error_is_refused(store: BaseStore, folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}")
    with pytest.raises(BrokenBase, match="error in line 1"):
        store.pull(str(folder))


def test_the_template_may_lie_in_the_tokenizer_settings(store: BaseStore, folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ 'yes' }}"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": named}))
    assert store.pull(str(folder)).chat_template().render([]) == "yes"


def test_the_licence_comes_from_the_model_card(store: BaseStore, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# Tiny\n")
    assert store.pull(str(folder)).licence == "mit"
