"""Every architecture against `transformers`, on small random configurations."""

import pytest
import torch

from chiliad.models import config_of, load_model
from tests.models.architectures import CONFIGURATIONS, VOCAB, base_folder, make


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_logits_equal_transformers(name):
    """Over more tokens than a window, where there is one."""
    reference, model = make(name)
    ids = torch.randint(0, VOCAB, (40,))
    with torch.no_grad():
        wanted = reference(ids.unsqueeze(0)).logits[0]
    got = model.logits(model.hidden(ids, torch.arange(40)))
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
    assert wanted.std() > 0.1


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_tokens_that_nobody_wants_take_part_until_the_last_attention(name):
    _, model = make(name)
    ids, keep = torch.randint(0, VOCAB, (30,)), torch.tensor([3, 17, 29])
    whole, kept = model.hidden(ids, torch.arange(30)), model.hidden(ids, torch.arange(30), keep=keep)
    torch.testing.assert_close(kept, whole[keep])


@pytest.mark.parametrize("name", ["mistral, window", "qwen2, window", "gemma3"])
def test_a_window_hides_what_lies_before_it(name):
    """In one layer alone: through several, what lies before it comes along."""
    _, model = make(name, num_hidden_layers=1, **({"max_window_layers": 0} if "qwen" in name else {}),
                    **({"layer_types": ["sliding_attention"]} if name == "gemma3" else {}))  # fmt: skip
    window = model.config.window(0)
    ids = torch.randint(0, VOCAB, (30,))
    other = ids.clone()
    other[29 - window] = (ids[29 - window] + 1) % VOCAB
    before, after = (model.hidden(tokens, torch.arange(30)) for tokens in (ids, other))
    torch.testing.assert_close(after[29], before[29])
    assert not torch.allclose(after[28], before[28])


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_base_folder_is_loaded_as_what_it_is(name, tmp_path):
    reference, model = make(name)
    base = base_folder(tmp_path / "model", reference)
    loaded = load_model(base.path, base.config, torch.float32)
    assert type(loaded) is type(model)
    assert config_of(base.config) == model.config
    ids = torch.arange(40)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(parameter.bfloat16())
        wanted = reference(ids.unsqueeze(0)).logits[0]
    torch.testing.assert_close(loaded.logits(loaded.hidden(ids, ids)), wanted, atol=1e-4, rtol=1e-4)
