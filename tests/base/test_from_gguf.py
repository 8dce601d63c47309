from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter

from chiliad.base import BaseStore
from chiliad.base.architecture import tensor_shapes
from chiliad.base.from_gguf import read_gguf
from chiliad.base.gguf_file import GgufFile
from chiliad.base.template import CHATML, PLAIN
from chiliad.errors import BrokenBase
from tests.base.tiny import MERGES, TOKENS, byte_level_vocabulary, shapes, write_gguf


@pytest.mark.parametrize("quantisation", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q8_0"])
def test_tensors_are_those_that_transformers_reads(tmp_path: Path, quantisation: str) -> None:
    from transformers import AutoModelForCausalLM

    path = write_gguf(tmp_path / "tiny.gguf", quantisation=GGMLQuantizationType[quantisation])
    checkpoint = read_gguf(path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32).state_dict()
    theirs.pop("lm_head.weight")  # tied
    assert checkpoint.shapes.keys() == theirs.keys() == tensor_shapes(checkpoint.config).keys()
    for name, tensor in theirs.items():
        assert np.array_equal(checkpoint.read(name), tensor.to(torch.bfloat16).view(torch.uint16).numpy()), name


def test_transformers_loads_the_base_folder_and_computes_the_same(store: BaseStore, gguf: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = store.pull(str(gguf))
    ours = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    for parameter in theirs.parameters():
        parameter.data = parameter.data.to(torch.bfloat16).float()
    ids = torch.tensor([base.tokenizer().encode("<|im_start|>the rest 12")])
    assert torch.allclose(ours(ids).logits, theirs(ids).logits, atol=1e-5)
    assert AutoTokenizer.from_pretrained(base.path).encode("the rest") == base.tokenizer().encode("the rest")


def test_an_untied_output_matrix_is_kept(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "t.gguf", tensors={**shapes(), "output.weight": (len(TOKENS), 64)})
    checkpoint = read_gguf(path)
    assert checkpoint.config["tie_word_embeddings"] is False
    assert "lm_head.weight" in checkpoint.shapes


def test_a_file_cut_anywhere_is_refused_and_leaves_nothing(tmp_path: Path, store: BaseStore, gguf: Path) -> None:
    content = gguf.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in (0, 3, 4, 10, 24, 100, 900, 3000, len(content) // 2, len(content) - 1):
        cut.write_bytes(content[:length])
        with pytest.raises(BrokenBase):
            store.pull(str(cut))
    assert store.ids() == ()
    assert [path.name for path in (tmp_path / "cache" / "bases").iterdir()] == []


def _name(text):
    return struct.pack("<Q", len(text)) + text


def _pair(kind, *rest):
    return struct.pack("<QQ", 0, 1) + _name(b"a") + struct.pack("<I", kind) + b"".join(rest)


def _tensor(dimensions, offset=0):
    told = struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, 0, offset)
    return struct.pack("<QQ", 1, 0) + _name(b"t") + told


HOSTILE = {
    "arrays in arrays": _pair(9, struct.pack("<IQ", 9, 1) * 100_000),
    "an array without end": _pair(9, struct.pack("<IQ", 0, 2**62)),
    "texts without end": _pair(9, struct.pack("<IQ", 8, 2**60)),
    "a text without end": struct.pack("<QQQ", 0, 1, 2**63),
    "another type": _pair(77),
    "pairs without end": struct.pack("<QQ", 0, 2**60),
    "tensors without end": struct.pack("<QQ", 2**60, 0),
    "a tensor of everything": _tensor([2**40] * 4),
    "a tensor of many dimensions": _tensor([1] * 500),
    "a tensor elsewhere": _tensor([4], offset=2**63),
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_a_header_made_to_do_harm_is_refused_at_once(tmp_path, header):
    (tmp_path / "evil.gguf").write_bytes(b"GGUF" + struct.pack("<I", 3) + header + b"\0" * 64)
    began = time.process_time()
    with pytest.raises(BrokenBase):
        GgufFile.open(tmp_path / "evil.gguf")
    assert time.process_time() - began < 2


def test_another_architecture_is_refused_with_the_supported_ones(tmp_path: Path) -> None:
    with pytest.raises(BrokenBase, match=r"'phi3'.* llama, mistral, qwen2, qwen3, gemma3_text"):
        read_gguf(write_gguf(tmp_path / "g.gguf", architecture="phi3"))


@pytest.mark.parametrize("extra", ["blk.0.attn_q.bias", "rope_freqs.weight", "blk.0.ffn_gate_exps.weight"])
def test_tensors_of_other_llama_variants_are_refused(tmp_path: Path, extra: str) -> None:
    with pytest.raises(BrokenBase, match=extra):
        read_gguf(write_gguf(tmp_path / "x.gguf", tensors={**shapes(), extra: (64,)}))


def test_a_missing_tensor_is_refused(tmp_path: Path, store: BaseStore) -> None:
    tensors = shapes()
    del tensors["blk.1.ffn_up.weight"]
    with pytest.raises(BrokenBase, match=r"lacks model\.layers\.1\.mlp\.up_proj\.weight"):
        store.pull(str(write_gguf(tmp_path / "x.gguf", tensors=tensors)))


def test_rotary_scaling_is_refused(tmp_path: Path) -> None:
    def change(writer: GGUFWriter) -> None:
        writer.add_string("llama.rope.scaling.type", "yarn")

    with pytest.raises(BrokenBase, match="rotary scaling 'yarn'"):
        read_gguf(write_gguf(tmp_path / "x.gguf", change=change))


def test_an_unknown_way_to_cut_text_is_refused(tmp_path: Path) -> None:
    def vocabulary(writer: GGUFWriter) -> None:
        byte_level_vocabulary(writer, pre="tekken-9")

    with pytest.raises(BrokenBase, match="tekken-9"):
        read_gguf(write_gguf(tmp_path / "x.gguf", vocabulary=vocabulary))


def test_a_number_format_that_cannot_be_dequantised_is_named(tmp_path: Path, store: BaseStore) -> None:
    tensors = shapes()
    shape = tensors.pop("blk.0.ffn_up.weight")

    def change(writer: GGUFWriter) -> None:
        writer.add_tensor("blk.0.ffn_up.weight", np.zeros(shape, dtype=np.int8))

    with pytest.raises(BrokenBase, match="I8"):
        store.pull(str(write_gguf(tmp_path / "x.gguf", tensors=tensors, change=change)))


@pytest.mark.parametrize(
    ("tokens", "template"), [(TOKENS, CHATML), (["<s>", *TOKENS[1:]], CHATML), (TOKENS[3:], PLAIN)]
)
def test_a_file_without_a_template_gets_one_that_fits_its_tokens(
    tmp_path: Path, tokens: list[str], template: str
) -> None:
    def vocabulary(writer: GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        writer.add_token_merges(MERGES)

    assert read_gguf(write_gguf(tmp_path / "x.gguf", vocabulary=vocabulary)).chat_template == template
