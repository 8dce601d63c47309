"""Training on every architecture: its gradients are those of `transformers` with `peft`."""

import peft
import pytest
import torch
import torch.nn.functional as F

from chiliad.adapters import LoraShape
from chiliad.models import SITES
from chiliad.training import Row, Trainer
from chiliad.training.native_pass import NativePass
from tests.models.architectures import CONFIGURATIONS, VOCAB, make, ours

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers

SHAPE = LoraShape(3, 6.0, False, SITES)


def row(seed, length, answer, beginning=()):
    tokens = torch.randint(0, VOCAB, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return Row((*beginning, *tokens), len(beginning) + length - answer)


ROWS = [row(n, length, answer, (1, 2, 3)) for n, (length, answer) in enumerate([(30, 3), (12, 5), (19, 1)])]
"""with a common beginning, some longer than a window"""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_gradients_are_those_of_transformers_and_peft(name):
    reference, model = make(name)
    trainer = Trainer(model)
    state = trainer.add("x", SHAPE, seed=2)
    state.master.add_(torch.randn(state.parameters, generator=torch.Generator().manual_seed(3)) * 0.1)
    state.refresh()
    adapted = peft.get_peft_model(reference, peft.LoraConfig(r=3, lora_alpha=6, target_modules="all-linear"))
    theirs = {key: _factors(adapted, *key) for key in state.factors()}
    with torch.no_grad():
        for key, pair in state.factors().items():
            for their, our in zip(theirs[key], pair, strict=True):
                their.copy_(our)
    report = trainer.forward_backward({"x": ROWS})["x"]
    loss = sum(_loss(adapted, one) for one in ROWS)
    loss.backward()
    assert report.loss == pytest.approx(loss.item(), rel=1e-4)
    for (layer, site), (down, up) in _gradients(state).items():
        their_down, their_up = (factor.grad for factor in theirs[layer, site])
        torch.testing.assert_close(down, their_down, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(up, their_up, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_compiled_passes_are_for_models_built_like_llama(name):
    """What is not compiled trains all the same, and learns."""
    reference, _ = make(name)
    model = ours(reference, torch.bfloat16)
    if "window" in name or not name.startswith(("llama", "mistral")):
        assert not NativePass.fits(model)
    trainer = Trainer(model)
    trainer.add("x", SHAPE, seed=2)
    losses = []
    for _ in range(12):
        losses.append(trainer.forward_backward({"x": ROWS})["x"].loss)
        trainer.optim_step("x", learning_rate=0.02)
    assert losses[-1] < 0.7 * losses[0]


def _loss(model, one):
    logits = model(torch.tensor([one.ids])).logits[0, one.prompt_length - 1 : -1]
    return F.cross_entropy(logits, torch.tensor(one.ids[one.prompt_length :]), reduction="sum")


def _factors(adapted, layer, site):
    block = adapted.base_model.model.model.layers[layer]
    linear = getattr(block.self_attn if hasattr(block.self_attn, site) else block.mlp, site)
    return linear.lora_A["default"].weight, linear.lora_B["default"].weight


def _gradients(state):
    held, state.master = state.master, state.grad
    try:
        return {key: (down.clone(), up.clone()) for key, (down, up) in state.factors().items()}
    finally:
        state.master = held
