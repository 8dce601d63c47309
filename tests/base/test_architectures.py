"""What the `config.json` of each architecture says, in the words of either generation of `transformers`."""

import pytest

from chiliad.base import ChatTemplate
from chiliad.base.architecture import ARCHITECTURES, base_config
from chiliad.base.template import fallback
from chiliad.errors import BrokenBase
from chiliad.models import config_of

SIZES = {
    "vocab_size": 90, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 8, "num_attention_heads": 6,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "max_position_embeddings": 128,
}  # fmt: skip
GEMMA = {
    **SIZES,
    "model_type": "gemma3_text",
    "head_dim": 16,
    "sliding_window": 32,
    "query_pre_attn_scalar": 20,
    "rope_theta": 2e6,
    "rope_local_base_freq": 3e4,
}
QWEN = {**SIZES, "model_type": "qwen2", "rope_theta": 1e6, "sliding_window": 32, "max_window_layers": 6}


def test_every_other_and_sixth_layer_of_gemma_by_old_and_new_settings():
    old = config_of(base_config({**GEMMA, "sliding_window_pattern": 3}))
    new = config_of(
        base_config(
            {
                **{key: value for key, value in GEMMA.items() if not key.startswith("rope")},
                "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2
                + ["sliding_attention"] * 2,
                "rope_parameters": {
                    "full_attention": {"rope_type": "default", "rope_theta": 2e6},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 3e4},
                },
            }
        )
    )
    assert old == new
    assert old.windows == (32, 32, None, 32, 32, None, 32, 32)
    assert (old.rope_theta, old.local_theta, old.query_scalar, old.tied) == (2e6, 3e4, 20, True)
    assert config_of(base_config(GEMMA)).windows == (32, 32, 32, 32, 32, None, 32, 32)


def test_qwen_has_windows_only_where_it_uses_them():
    assert config_of(base_config(QWEN)).windows == ()
    assert config_of(base_config({**QWEN, "use_sliding_window": True})).windows == (None,) * 6 + (32, 32)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({**GEMMA, "final_logit_softcapping": 30.0}, "gemma3_text variant .* capped logits"),
        ({**GEMMA, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, "rotary scaling 'linear'"),
        ({**GEMMA, "rope_parameters": {"full_attention": {"rope_type": "linear"}}}, "rotary scaling 'linear'"),
        ({**GEMMA, "use_bidirectional_attention": True}, "both directions"),
        ({**GEMMA, "query_pre_attn_scalar": None}, "not what it should be"),
        ({**GEMMA, "layer_types": ["chunked_attention"] * 8}, "chunked_attention"),
        ({**GEMMA, "hidden_activation": "gelu"}, "activation 'gelu'"),
        ({**QWEN, "model_type": "qwen3", "attention_bias": True}, "biases in attention"),
        ({**SIZES, "model_type": "gemma3"}, "'gemma3' is not supported"),
    ],
)
def test_what_is_not_computed_is_refused(given, cause):
    with pytest.raises(BrokenBase, match=cause):
        base_config(given)


def test_whoever_is_refused_reads_what_is_supported():
    with pytest.raises(BrokenBase) as refused:
        base_config({**SIZES, "model_type": "phi3"})
    assert all(name in refused.value.fix for name in ARCHITECTURES)


def test_a_base_with_gemmas_tokens_and_no_template_speaks_in_gemmas_turns():
    source = fallback({"<start_of_turn>", "<end_of_turn>"}.__contains__)
    template = ChatTemplate(source, bos_token="<bos>", eos_token=None)
    turns = [("system", "Be brief."), ("user", "hi "), ("assistant", "hello"), ("user", "bye")]
    assert template.render([{"role": role, "content": text} for role, text in turns]) == (
        "<bos><start_of_turn>user\nBe brief.\n\nhi<end_of_turn>\n<start_of_turn>model\nhello<end_of_turn>\n"
        "<start_of_turn>user\nbye<end_of_turn>\n<start_of_turn>model\n"
    )
