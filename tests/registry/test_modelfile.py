"""The Modelfile: the same turns in Go's template language, or an honest silence."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from chiliad.base import ChatTemplate
from chiliad.base.template import CHATML, PLAIN
from chiliad.registry import ExpertVersion
from chiliad.registry.modelfile import modelfile

VERSION = ExpertVersion(
    name="tickets",
    number=3,
    adapter_hash="a" * 64,
    created=datetime(2026, 1, 1, tzinfo=UTC),
    base_id="tiny",
    base_fingerprint="f" * 64,
    kind="labels",
    choices=("yes", "no"),
)
SYSTEM = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}" + CHATML


@dataclass(frozen=True)
class Base:
    """As much of a base as a Modelfile needs."""

    ends: tuple[str, ...] = ("<|im_end|>",)

    def tokenizer(self):
        return self

    @property
    def eos_ids(self):
        return frozenset(range(len(self.ends)))

    def decode(self, ids, *, skip_special):
        assert not skip_special
        return "".join(self.ends[i] for i in ids)


def written(source, base=Base()):
    return modelfile(VERSION, ChatTemplate(source, bos_token=None, eos_token=None), base)


def test_chatml_is_written_as_a_go_template():
    assert written(CHATML) == (
        "# tickets@3, exported from Chiliad\n"
        "FROM ./expert.gguf\n"
        "# It was trained to answer with one of 2 labels.\n"
        'TEMPLATE """{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}'
        '<|im_start|>assistant\n"""\n'
        'PARAMETER stop """<|im_end|>"""\n'
        "PARAMETER temperature 0\n"
        "PARAMETER num_ctx 2048\n"
    )


def test_a_default_system_message_becomes_the_modelfiles():
    assert 'SYSTEM """You are kind."""\n' in written(SYSTEM)


@pytest.mark.parametrize("source", [PLAIN, "[INST] {{ messages[0]['content'] }} [/INST]"])
def test_other_formats_are_left_to_the_template_in_the_gguf_file(source):
    text = written(source)
    assert "TEMPLATE" not in text
    assert "SYSTEM" not in text
    assert "inside the GGUF file" in text


def test_every_end_token_stops():
    text = written(CHATML, Base(("<|im_end|>", "<|endoftext|>")))
    assert text.count("PARAMETER stop") == 2
