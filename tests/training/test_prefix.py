"""Prefix experts in training: their gradients, their start, and their company."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from chiliad.adapters import AdapterKind, PrefixShape
from chiliad.adapters.prefix import BEFORE
from chiliad.config import Precision
from chiliad.errors import TrainingError
from chiliad.models import visible
from chiliad.training import Course, Recipe, Row, Trainer, fit, fit_many
from tests.models.architectures import CONFIGURATIONS, make
from tests.training.test_base_in_codes import model_in
from tests.training.test_together import _factors, _model, _rows
from tests.training.test_trainer import ALIKE, ROWS

RECIPE = Recipe(kind=AdapterKind.PREFIX, virtual_tokens=3, learning_rate=5e-2, epochs=3, rows_per_batch=8, seed=3)
TOKENS = 3


def plain_loss(model, layers, row):
    """By autograd, one unpadded row, with the prefix before every layer's keys and values; windows count it too."""

    def attend(layer, q, k, v):
        keys, values = layers[layer, BEFORE]
        parts = (q, torch.cat((keys, k)), torch.cat((values, v)))
        seen = visible(len(q), TOKENS + len(q), model.config.window(layer))
        out = F.scaled_dot_product_attention(*(x.transpose(0, 1) for x in parts), attn_mask=seen, enable_gqa=True)
        return out.transpose(0, 1).flatten(1)

    ids, first = torch.tensor(row.ids), row.prompt_length - 1
    logits = model.logits(model.hidden(ids[:-1], TOKENS + torch.arange(len(ids) - 1), attend))
    return F.cross_entropy(logits[first:], ids[first + 1 :], reduction="sum")


def assert_gradients(model, rows):
    trainer = Trainer(model)
    state = trainer.add("x", PrefixShape(TOKENS), seed=0)
    state.master.add_(torch.randn(state.master.shape, generator=torch.Generator().manual_seed(3)) * 0.3)
    layers = {key: tuple(part.clone().requires_grad_() for part in pair) for key, pair in state.factors().items()}
    sum(plain_loss(model, layers, row) for row in rows).backward()
    for _ in range(2):  # gradients of all passes since the last step add up
        trainer.forward_backward({"x": rows})
    wanted = torch.cat([part.grad.flatten() for pair in layers.values() for part in pair])
    torch.testing.assert_close(state.grad, 2 * wanted, atol=1e-4, rtol=1e-3)
    before = state.master.clone()
    trainer.optim_step("x", learning_rate=1e-2)
    assert not torch.equal(state.master, before)
    assert not state.grad.any()


@pytest.mark.parametrize("rows", [ROWS, ALIKE, ALIKE[:1]], ids=["different", "alike", "one"])
def test_gradients_equal_plain_autograd(rows):
    assert_gradients(_model(), rows)


@pytest.mark.parametrize("name", ["mistral, window", "gemma3"])
def test_also_where_layers_have_windows(name):
    assert_gradients(make(name)[1], ROWS)


def test_also_on_a_base_in_codes():
    assert_gradients(model_in(Precision.INT4), ROWS)


def test_it_starts_as_words_before_the_row():
    """The same loss as with those words in the row."""
    model = _model()
    trainer = Trainer(model)
    trainer.add("x", PrefixShape(TOKENS), seed=7)
    words = torch.randint(0, model.config.vocab_size, (TOKENS,), generator=torch.Generator().manual_seed(7)).tolist()
    row = ROWS[2]
    nll = trainer.forward_backward({"x": [row]})["x"].nll
    ids, first = torch.tensor([*words, *row.ids]), TOKENS + row.prompt_length - 1
    logits = model.logits(model.hidden(ids[:-1], torch.arange(len(ids) - 1)))
    assert nll == pytest.approx(float(F.cross_entropy(logits[first:], ids[first + 1 :], reduction="sum")), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["plain", "compiled"])
def test_beside_other_kinds_each_gets_what_it_gets_alone(tmp_path, dtype):
    model = _model(dtype)

    def courses(folder):
        lora = Recipe(rank=2, learning_rate=1e-2, epochs=2)
        return [
            Course("one", _rows(5, 6), _rows(5, 2), RECIPE, False, folder / "one"),
            Course("lora", _rows(9, 6), [], lora, False, folder / "lora"),
            Course("two", _rows(7, 4), [], replace(RECIPE, epochs=2, virtual_tokens=5), False, folder / "two"),
        ]

    alone = {c.name: fit(Trainer(model), c) for c in courses(tmp_path / "alone")}
    together = {e.course.name: e.outcome for e in fit_many(Trainer(model), courses(tmp_path / "all"))}
    for name, result in together.items():
        tolerance = 2e-3 if dtype is torch.float32 else 2e-2  # the order of sums in PyTorch's products
        assert (_factors(result) - _factors(alone[name])).norm() < tolerance * _factors(alone[name]).norm()
    losses = [loss for _, loss in together["one"].progress.losses]
    assert losses[-1] < losses[0]


def test_a_row_that_fits_the_base_alone_and_not_after_the_prefix_is_refused(tmp_path):
    model = _model()
    row = Row(tuple(n % 60 for n in range(model.config.max_position_embeddings + 1)), 3)
    course = Course("long", [row], [], replace(RECIPE, epochs=1), False, tmp_path)
    with pytest.raises(TrainingError, match="at most 61 known tokens"):
        fit(Trainer(model), course)
    fit(Trainer(model), replace(course, train=[Row(row.ids[:62], 3)]))


def test_every_architecture_gets_a_start_of_its_size():
    for name in CONFIGURATIONS:
        model = make(name)[1]
        state = Trainer(model).add("x", PrefixShape(TOKENS), seed=0)
        size = (TOKENS, model.config.num_kv_heads, model.config.head_dim)
        assert {part.shape for pair in state.factors().values() for part in pair} == {size}
        assert len(state.factors()) == model.config.num_layers
