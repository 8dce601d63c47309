"""The Modelfile that lets Ollama talk to an exported expert in the turns that it was trained on."""

from __future__ import annotations

from chiliad.base import Base, ChatTemplate
from chiliad.registry.expert import ExpertVersion

CONTEXT_TOKENS = 2048

_PROBE = "\N{REPLACEMENT CHARACTER}probe\N{REPLACEMENT CHARACTER}"
_USER = "<|im_start|>user\n"
_AFTER = "<|im_end|>\n<|im_start|>assistant\n"
_CHATML_TURNS = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)


def modelfile(version: ExpertVersion, template: ChatTemplate, base: Base) -> str:
    """The text of a Modelfile beside `expert.gguf`."""
    tokenizer = base.tokenizer()
    stop = [tokenizer.decode([token_id], skip_special=False) for token_id in sorted(tokenizer.eos_ids)]
    lines = [f"# {version.ref}, exported from Chiliad", "FROM ./expert.gguf"]
    if version.choices:
        lines.append(f"# It was trained to answer with one of {len(version.choices)} labels.")
    lines += _turns(template)
    lines += [f"PARAMETER stop {_quoted(token)}" for token in stop]
    lines += ["PARAMETER temperature 0", f"PARAMETER num_ctx {CONTEXT_TOKENS}"]
    return "\n".join(lines) + "\n"


def _turns(template: ChatTemplate) -> list[str]:
    """TEMPLATE and SYSTEM for ChatML; for other formats Ollama reads the Jinja template inside the GGUF file."""
    before, _, after = template.render([{"role": "user", "content": _PROBE}]).partition(_PROBE)
    if not before.endswith(_USER) or after != _AFTER:
        return ["# The chat template is inside the GGUF file."]
    system = before.removesuffix(_USER).removeprefix("<|im_start|>system\n").removesuffix("<|im_end|>\n")
    return [f"TEMPLATE {_quoted(_CHATML_TURNS)}", *([f"SYSTEM {_quoted(system)}"] if system else [])]


def _quoted(text: str) -> str:
    return f'"""{text}"""'
