"""The packed, grouped training path against plain autograd over one row at a time."""

import pytest
import torch
import torch.nn.functional as F

from chiliad.adapters import LoraShape
from chiliad.models import SITES, Group, Llama, LlamaConfig
from chiliad.training import Row, Trainer
from chiliad.training.rows import epoch_batches, make_batch

CONFIG = LlamaConfig(32, 48, 2, 4, 2, 8, 61, 64, 1e4, 1e-5, tied=True)
ROWS = [
    Row((5, 6, 7, 8, 9), 3),
    Row((11, 12, 13), 2),
    Row((20, 21, 22, 23, 24, 25, 26, 27), 5),
    Row((30, 31, 32, 33, 34), 1),
]

ALIKE = [Row((7, 8, 9, *row.ids), row.prompt_length + 3) for row in ROWS]
"""rows that share their beginning, which a batch then holds once"""


@pytest.fixture
def trainer():
    trainer = Trainer(Llama.random(CONFIG, seed=1))
    state = trainer.add("x", LoraShape(3, 6.0, False, SITES), seed=2)
    state.master.add_(torch.randn(state.parameters, generator=torch.Generator().manual_seed(3)) * 0.1)
    state.refresh()
    return trainer


def _plain_loss(model, factors, scale, rows):
    """The same loss by autograd through explicit LoRA on one unpadded row at a time."""

    def project(layer, group: Group, x):
        outs = []
        for site in group.sites:
            a, b = factors[layer, site]
            outs.append(x @ a.T @ b.T * scale)
        return F.linear(x, model.weight(layer, group)) + torch.cat(outs, -1)

    total, count = torch.zeros(()), 0
    for row in rows:
        ids = torch.tensor(row.ids)
        logits = model.logits(model.hidden(ids[:-1], torch.arange(len(ids) - 1), project=project))
        first = row.prompt_length - 1
        total = total + F.cross_entropy(logits[first:], ids[first + 1 :], reduction="sum")
        count += row.answer_length
    return total / count


@pytest.mark.parametrize("targets", [SITES, ("q_proj", "down_proj")])
@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("rows", [ROWS, ALIKE, ALIKE[:1]], ids=["different", "alike", "one"])
def test_gradients_equal_plain_autograd(rows, targets, rslora):
    trainer = Trainer(Llama.random(CONFIG, seed=1))
    state = trainer.add("x", LoraShape(3, 6.0, rslora, targets), seed=2)
    state.master.add_(torch.randn(state.parameters, generator=torch.Generator().manual_seed(3)) * 0.1)
    state.refresh()
    zero = {s: CONFIG.widths(s) for s in SITES}
    factors = {
        (layer, site): tuple(
            t.clone().requires_grad_()
            for t in state.factors().get((layer, site), (torch.zeros(3, zero[site][0]), torch.zeros(zero[site][1], 3)))
        )
        for layer in range(CONFIG.num_layers)
        for site in SITES
    }
    loss = _plain_loss(trainer.model, factors, state.shape.scale, rows)
    loss.backward()
    report = trainer.forward_backward({"x": rows})["x"]
    assert report.loss / report.units == pytest.approx(loss.item(), rel=1e-5)
    place, mean = state._places, state.grad / report.units
    for key in state.factors():
        torch.testing.assert_close(place[key].down(mean), factors[key][0].grad, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(place[key].up(mean), factors[key][1].grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [ROWS, ALIKE], ids=["different", "alike"])
def test_a_row_scores_the_same_alone_and_packed(trainer, rows):
    packed = trainer.score("x", [rows])
    alone = [trainer.score("x", [[row]]) for row in rows]
    answers = [row.answer_length for row in rows]
    mean = sum(s.loss * n for s, n in zip(alone, answers, strict=True)) / sum(answers)
    assert packed.loss == pytest.approx(mean, rel=1e-5)
    assert packed.exact == sum(s.exact for s in alone) / len(alone)


def test_experts_in_one_trainer_do_not_touch_each_other(trainer):
    other = trainer.add("y", LoraShape(2, 4.0, False, SITES), seed=9)
    before = other.master.clone()
    trainer.forward_backward({"x": ROWS})
    trainer.optim_step("x", learning_rate=0.1)
    assert torch.equal(other.master, before)
    assert not other.grad.any()


def test_a_shared_beginning_is_computed_once():
    assert len(make_batch(ALIKE).ids) == 3 + len(make_batch(ROWS).ids)


def test_training_learns_the_rows(trainer):
    first = trainer.score("x", [ROWS])
    for _ in range(60):
        trainer.forward_backward({"x": ROWS})
        trainer.optim_step("x", learning_rate=2e-2)
    last = trainer.score("x", [ROWS])
    assert first.exact < 1.0
    assert last.exact == 1.0
    assert last.loss < 0.2 * first.loss


def test_an_epoch_holds_every_row_once_and_repeats_for_a_seed():
    rows = [Row(tuple(range(n % 9 + 2)), 1) for n in range(100)]
    batches = epoch_batches(rows, rows_per_batch=8, tokens_max=40, seed=4)
    assert sorted(id(row) for batch in batches for row in batch) == sorted(id(row) for row in rows)
    assert all(len(batch) <= 8 and sum(len(row.ids) for row in batch) <= 40 for batch in batches)
    assert batches == epoch_batches(rows, rows_per_batch=8, tokens_max=40, seed=4)
    assert batches != epoch_batches(rows, rows_per_batch=8, tokens_max=40, seed=5)


def test_passes_over_parts_of_a_batch_add_up_to_the_whole(trainer, monkeypatch):
    whole = trainer.forward_backward({"x": ROWS})["x"]
    gradient = trainer._experts["x"].state.grad.clone()
    trainer._experts["x"].state.grad.zero_()
    monkeypatch.setattr("chiliad.training.trainer.PASS_TOKENS_MAX", 8)
    parts = trainer.forward_backward({"x": ROWS})["x"]
    assert parts.tokens == whole.tokens
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    torch.testing.assert_close(trainer._experts["x"].state.grad, gradient, atol=1e-5, rtol=1e-4)
