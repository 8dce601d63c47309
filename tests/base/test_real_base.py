"""The real SmolLM2 weights against `transformers` reading the same GGUF file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

from chiliad.base import Base, BaseStore, compact_template
from chiliad.base.weights import read_weights
from tests.base.test_tokenizer import TEXTS

pytestmark = pytest.mark.real_base

FINGERPRINT = "37d75a8656c54a1b9ecb0dcebd6da512a8f98f0cf1c55babb382fdbfcea94a28"


def test_the_files_are_the_same_on_every_machine(real_base: Base) -> None:
    assert real_base.fingerprint == FINGERPRINT
    assert BaseStore(real_base.path.parent.parent).get(real_base.id, verify=True) == real_base


def test_it_is_never_called_the_hubs_checkpoint(real_base: Base) -> None:
    assert real_base.id == "smollm2-135m-q4_1"
    assert "not the hub's checkpoint" in real_base.note
    described = real_base.path.joinpath("base.json").read_text() + real_base.path.joinpath("config.json").read_text()
    assert "HuggingFaceTB" not in described


def test_every_tensor_is_that_of_transformers(real_base: Base) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(real_base.path, gguf_file="source.gguf", dtype=torch.float32)
    theirs = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    ours = read_weights(real_base.weights_path)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert np.array_equal(ours[name].bf16(), tensor.to(torch.bfloat16).view(torch.uint16).numpy()), name


def test_token_ids_are_those_of_transformers(real_base: Base) -> None:
    from transformers import AutoTokenizer

    ours = real_base.tokenizer()
    saved = AutoTokenizer.from_pretrained(real_base.path)
    theirs = AutoTokenizer.from_pretrained(real_base.path, gguf_file="source.gguf")
    # transformers leaves out that this vocabulary was learned with every digit cut off from what is before it
    byte_level = ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    theirs.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), byte_level])
    for text in TEXTS:
        expected = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text) == expected
        assert saved.encode(text, add_special_tokens=False) == expected
        assert ours.decode(expected, skip_special=False) == text


def test_the_template_is_the_files_own(real_base: Base) -> None:
    from transformers import AutoTokenizer

    template, chat = real_base.chat_template(), [{"role": "user", "content": "Apa kabar?"}]
    theirs = AutoTokenizer.from_pretrained(real_base.path)
    assert template.render(chat) == theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert "You are a helpful AI assistant" in template.render(chat)
    assert compact_template(template).render(chat) == "<|im_start|>user\nApa kabar?<|im_end|>\n<|im_start|>assistant\n"


def test_all_ends_of_an_answer_are_known(real_base: Base) -> None:
    tokenizer = real_base.tokenizer()
    assert tokenizer.eos_ids == {*tokenizer.encode("<|im_end|>"), *tokenizer.encode("<|endoftext|>")}
