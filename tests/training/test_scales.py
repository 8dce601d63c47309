"""IA3 experts in training: their gradients, and their company."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from chiliad.adapters import AdapterKind, Ia3Shape
from chiliad.models import Group
from chiliad.training import Course, Recipe, Trainer, fit, fit_many
from tests.training.test_together import _factors, _model, _rows
from tests.training.test_trainer import ALIKE, ROWS

RECIPE = Recipe(kind=AdapterKind.IA3, learning_rate=5e-2, epochs=3, rows_per_batch=8, seed=3)


@pytest.mark.parametrize("rows", [ROWS, ALIKE], ids=["different", "alike"])
def test_gradients_equal_plain_autograd(rows):
    model = _model()
    trainer = Trainer(model)
    state = trainer.add("x", Ia3Shape(), seed=0)
    state.master.add_(torch.randn(state.master.shape, generator=torch.Generator().manual_seed(3)) * 0.3)
    state.refresh()
    scales = {key: scale.clone().requires_grad_() for key, (scale,) in state.factors().items()}

    def project(layer, group, x):
        x = x * scales[layer, "down_proj"] if group is Group.DOWN else x
        y = F.linear(x, model.weight(layer, group))
        if group is not Group.QKV:
            return y
        q, k, v = y.split(model.config.group_widths(group)[1], dim=-1)
        return torch.cat((q, k * scales[layer, "k_proj"], v * scales[layer, "v_proj"]), dim=-1)

    for row in rows:
        ids, first = torch.tensor(row.ids), row.prompt_length - 1
        logits = model.logits(model.hidden(ids[:-1], torch.arange(len(ids) - 1), project=project))
        F.cross_entropy(logits[first:], ids[first + 1 :], reduction="sum").backward()
    trainer.forward_backward({"x": rows})
    wanted = torch.cat([scales[key].grad for key in state.factors()])
    torch.testing.assert_close(state.grad, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["plain", "compiled"])
def test_beside_other_kinds_each_gets_what_it_gets_alone(tmp_path, dtype):
    model = _model(dtype)

    def courses(folder):
        lora = Recipe(rank=2, learning_rate=1e-2, epochs=2)
        return [
            Course("one", _rows(5, 6), _rows(5, 2), RECIPE, False, folder / "one"),
            Course("lora", _rows(9, 6), [], lora, False, folder / "lora"),
            Course("two", _rows(7, 4), [], replace(RECIPE, epochs=2), False, folder / "two"),
        ]

    alone = {c.name: fit(Trainer(model), c) for c in courses(tmp_path / "alone")}
    together = {e.course.name: e.outcome for e in fit_many(Trainer(model), courses(tmp_path / "all"))}
    for name, result in together.items():
        tolerance = (
            2e-3 if dtype is torch.float32 else 2e-2
        )  # the order of sums in PyTorch's products follows the tokens
        assert (_factors(result) - _factors(alone[name])).norm() < tolerance * _factors(alone[name]).norm()
    losses = [loss for _, loss in together["one"].progress.losses]
    assert losses[-1] < losses[0]
