from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from gguf import GGUFWriter
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

from chiliad.base import BaseStore, StreamDecoder, Tokenizer
from chiliad.errors import BrokenBase
from tests.base.tiny import byte_level_vocabulary, write_gguf

TEXTS = (
    "the rest in the house",
    "  two  spaces,\n\n\ttabs and a\r\nline\n",
    "12 123456 3.14 10,000 tel. +62 812-3456  7",
    "Selamat pagi! Pesanan saya belum datang, tolong dicek ya… terima kasih.",
    "naïve façade — “quotes” ½ ² Ⅳ ٣",
    "日本語とEmoji 👩‍👩‍👧‍👦🏳️‍🌈 and ﷽",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|> <|im_start>|",
    "can't we'll I'M",
    "\x00\x7f\u200b\ufeff\ufffd",
    "",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return pulled(tmp_path_factory.mktemp("tokenizer"))


def pulled(path: Path, **changes: object) -> Tokenizer:
    return BaseStore(path / "cache").pull(str(write_gguf(path / "tiny.gguf", **changes))).tokenizer()  # type: ignore[arg-type]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_transformers(tokenizer: Tokenizer, text: str, theirs: object) -> None:
    assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The tokenizer that `transformers` makes from the same file, with the one thing it leaves out: single digits."""
    from transformers import AutoTokenizer

    path = write_gguf(tmp_path_factory.mktemp("theirs") / "tiny.gguf")
    made = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    byte_level = ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    made.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), byte_level])
    return made


def test_digits_stay_single(tokenizer: Tokenizer) -> None:
    assert [tokenizer.decode([token]) for token in tokenizer.encode("12 12")] == ["1", "2", " ", "1", "2"]


def test_special_tokens_are_recognised_and_nothing_is_added(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|im_start|>") == [1]
    assert tokenizer.encode("") == []
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.eos_ids == {0, 2}
    assert tokenizer.vocab_size == 267


def test_special_tokens_can_be_shown(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("hi<|im_end|>")
    assert tokenizer.decode(ids) == "hi"
    assert tokenizer.decode(ids, skip_special=False) == "hi<|im_end|>"


@given(st.text())
def test_decoding_undoes_encoding(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text), skip_special=False) == text


@given(st.text())
def test_a_stream_never_shows_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    text = text.replace("\N{REPLACEMENT CHARACTER}", "")
    decoder = StreamDecoder(tokenizer)
    pieces = [decoder.push(token) for token in tokenizer.encode(text)]
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert "".join(pieces) == text
    assert decoder.flush() == ""


@given(st.lists(st.integers(0, 266)))
def test_a_stream_of_any_tokens_adds_up_to_decoding_them_at_once(tokenizer: Tokenizer, ids: list[int]) -> None:
    decoder = StreamDecoder(tokenizer)
    assert "".join([*(decoder.push(token) for token in ids), decoder.flush()]) == tokenizer.decode(ids)


def test_an_unfinished_character_comes_out_at_the_end_once(tokenizer: Tokenizer) -> None:
    decoder = StreamDecoder(tokenizer)
    assert [decoder.push(token) for token in tokenizer.encode("é")[:1]] == [""]
    assert decoder.flush() == "\N{REPLACEMENT CHARACTER}"
    assert decoder.flush() == ""


def sentencepiece(writer: GGUFWriter) -> None:
    """A vocabulary with scores instead of merges, spaces as ▁, and bytes for what it does not know."""
    pieces = [
        "▁",
        "t",
        "h",
        "e",
        "▁t",
        "he",
        "▁the",
        "r",
        "s",
        "re",
        "st",
        "▁rest",
        "i",
        "n",
        "in",
        "▁in",
        "▁▁",
        "é",
        "<",
        ">",
    ]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(index) for index in range(len(pieces))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(pieces))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


@pytest.mark.parametrize("text", TEXTS)
def test_sentencepiece_ids_are_those_of_transformers(tmp_path: Path, text: str) -> None:
    from transformers import AutoTokenizer

    shapes = {**tiny_shapes_with_tokens(279)}
    ours = pulled(tmp_path, vocabulary=sentencepiece, tensors=shapes)
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="tiny.gguf")
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
    decoder = StreamDecoder(ours)
    ids = ours.encode(text)
    assert "".join([*(decoder.push(token) for token in ids), decoder.flush()]) == ours.decode(ids)


def tiny_shapes_with_tokens(tokens: int) -> dict[str, tuple[int, ...]]:
    from tests.base.tiny import HIDDEN, shapes

    return {**shapes(), "token_embd.weight": (tokens, HIDDEN)}


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2"])
@pytest.mark.parametrize("text", TEXTS)
def test_other_ways_to_cut_text_are_those_of_transformers(tmp_path: Path, pre: str, text: str) -> None:
    from transformers import AutoTokenizer

    def vocabulary(writer: GGUFWriter) -> None:
        byte_level_vocabulary(writer, pre=pre)

    ours = pulled(tmp_path, vocabulary=vocabulary)
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="tiny.gguf")
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("add", [True, False, None])
def test_a_text_begins_with_its_token_where_the_file_says_so_or_its_kind_does(tmp_path: Path, add: bool | None) -> None:
    def vocabulary(writer: GGUFWriter) -> None:
        sentencepiece(writer)
        if add is not None:
            writer.add_add_bos_token(add)

    tokenizer = pulled(tmp_path, vocabulary=vocabulary, tensors=tiny_shapes_with_tokens(279))
    begin = [] if add is False else [1]
    assert tokenizer.encode_text("the rest") == [*begin, *tokenizer.encode("the rest")]
    assert tokenizer.encode_text("<s>the rest") == tokenizer.encode("<s>the rest")


def test_byte_level_vocabularies_begin_with_nothing_unless_told(tmp_path: Path) -> None:
    def told(writer: GGUFWriter) -> None:
        byte_level_vocabulary(writer)
        writer.add_add_bos_token(True)

    (tmp_path / "plain").mkdir()
    assert pulled(tmp_path / "plain").begin == ()
    assert pulled(tmp_path, vocabulary=told).begin == (1,)


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BrokenBase, match=r"tokenizer\.json"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_padding_and_truncation_in_the_file_are_ignored(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert len(Tokenizer(folder / "tokenizer.json").encode("abcdef")) == 6


def test_the_stated_end_token_ends_an_answer_even_if_it_is_not_marked_special(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**settings, "eos_token": {"content": "!", "lstrip": False}})
    )
    tokenizer = Tokenizer(folder / "tokenizer.json")
    assert tokenizer.eos_token == "!"
    assert tokenizer.eos_ids == {0, 2, *tokenizer.encode("!")}


def test_a_long_text_keeps_no_other_thread_waiting(tokenizer: Tokenizer) -> None:
    moments: list[float] = []
    cut = threading.Thread(target=lambda: tokenizer.encode("1 2 " * 150_000))
    cut.start()
    while cut.is_alive():
        time.sleep(0.001)
        moments.append(time.thread_time())
    assert len(moments) > 20
