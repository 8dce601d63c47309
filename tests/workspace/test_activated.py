"""An activated LoRA that was made elsewhere: taken, served and handed on; what would apply it to all tokens is refused."""

import json

import pytest

from chiliad.errors import BadRequest, BrokenAdapter
from chiliad.registry.export_gguf import export_gguf
from chiliad.registry.export_merged import export_merged
from chiliad.registry.export_peft import export_peft
from chiliad.registry.import_ import import_adapter
from chiliad.workspace.compression import compress
from chiliad.workspace.progress import SilentReporter
from tests.registry.tiny import write_adapter

QUESTION = "where is box 99"


@pytest.fixture
def take(workspace, tmp_path):
    """Registers an adapter with these invocation tokens and makes it live."""
    base = workspace.served("tiny").base

    def taken(name, invocation):
        folder = tmp_path / name
        folder.mkdir()
        write_adapter(folder, fingerprint=base.fingerprint, invocation=invocation)
        version = import_adapter(workspace.registry, name, folder, base)
        workspace.registry.promote(name, version.number, force=True)
        return workspace.expert(name)

    return taken


def answers_begin_with(workspace):
    """The tokens that the default template ends a prompt with."""
    served = workspace.served("tiny")
    question, other = (
        served.prompt(served.base.chat_template(), [{"role": "user", "content": text}]) for text in (QUESTION, "a")
    )
    same = next(n for n in range(1, len(other)) if question[-n] != other[-n]) - 1
    return question[-same:]


def test_it_is_served_from_its_invocation_on(workspace, take):
    invoked = take("invoked", answers_begin_with(workspace))
    always = take("always", ())
    assert invoked.version.adapter_hash != always.version.adapter_hash
    assert len({workspace.ask("invoked", QUESTION), workspace.ask("always", QUESTION)}) == 2
    take("elsewhere", (1, 1, 1))
    with pytest.raises(BadRequest, match=r"\[1, 1, 1\]"):
        workspace.ask("elsewhere", QUESTION)


def test_what_would_apply_it_to_all_tokens_is_refused(workspace, take, tmp_path):
    invoked = take("invoked", (3, 4))
    base = invoked.served.base
    for refused in (
        lambda: workspace.inspect("invoked"),
        lambda: compress(workspace, ["invoked"], 2, SilentReporter()),
        lambda: export_gguf(invoked.version, invoked.folder, base, tmp_path / "gguf"),
        lambda: export_merged(invoked.version, invoked.folder, base, tmp_path / "merged"),
    ):
        with pytest.raises(BrokenAdapter, match="acts from its invocation tokens on"):
            refused()
    assert len(workspace.registry.versions("invoked")) == 1


def test_an_export_is_what_peft_calls_one(workspace, take, tmp_path):
    invoked = take("invoked", (3, 4))
    export_peft(invoked.version, invoked.folder, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["alora_invocation_tokens"] == [3, 4]
    version = import_adapter(workspace.registry, "again", tmp_path / "out", invoked.served.base)
    assert version.adapter_hash == invoked.version.adapter_hash
