"""The decoder against `transformers`, on small random configurations."""

import pytest
import torch
from transformers import LlamaConfig as HfConfig
from transformers import LlamaForCausalLM

from chiliad.errors import BrokenBase
from chiliad.models import Llama, LlamaConfig

CONFIGURATIONS = {
    "grouped heads, tied": {"num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "all heads, untied": {"num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": False},
    "wide heads": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 48, "tie_word_embeddings": True},
}


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
def test_logits_equal_transformers(options):
    torch.manual_seed(0)
    hf_config = HfConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=3, vocab_size=97, max_position_embeddings=64,
        rope_theta=5_000.0, initializer_range=0.2, **options,
    )  # fmt: skip
    reference = LlamaForCausalLM(hf_config).eval()
    model = Llama(LlamaConfig.from_hf(hf_config.to_dict()), reference.state_dict(), torch.float32)
    ids = torch.randint(0, 97, (21,))
    with torch.no_grad():
        wanted = reference(ids.unsqueeze(0)).logits[0]
    got = model.logits(model.hidden(ids, torch.arange(21)))
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-4)
    assert wanted.std() > 0.1


def test_a_missing_tensor_is_named():
    config = LlamaConfig(8, 8, 1, 1, 1, 8, 10, 16, 1e4, 1e-5, tied=True)
    with pytest.raises(BrokenBase, match=r"model\.embed_tokens\.weight"):
        Llama(config, {})
