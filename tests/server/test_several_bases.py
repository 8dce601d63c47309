"""Bases of different architectures behind one URL, each with an engine and experts of its own."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import openai
import pytest

from chiliad.base import BaseStore
from chiliad.errors import WrongBase
from chiliad.registry import ExpertFacts
from chiliad.workspace import Workspace
from tests.models.architectures import base_folder, make, widths
from tests.registry.tiny import write_adapter
from tests.server.conftest import running

OTHERS = {"second": "qwen3", "third": "gemma3"}
EXPERTS = {"tickets": "tiny", "orders": "second", "returns": "second", "reviews": "third"}


@pytest.fixture
def workspace(settings, tmp_path):
    settings = replace(settings, cache_dir=shutil.copytree(settings.cache_dir, tmp_path / "bases"))
    for name, kind in OTHERS.items():
        folder = base_folder(tmp_path / "made" / name, make(kind, max_position_embeddings=512)[0]).path
        BaseStore(settings.cache_dir).pull(str(folder), name=name)
    with Workspace.open(settings) as opened:
        for seed, (name, base_id) in enumerate(EXPERTS.items()):
            add(opened, name, base_id, seed)
        yield opened


def add(workspace, name, base_id, seed):
    base = workspace.bases.get(base_id)
    facts = ExpertFacts(base_id=base.id, base_fingerprint=base.fingerprint, kind="text")
    sizes = {"widths": widths(base.config), "layers": base.config["num_hidden_layers"]}
    with workspace.registry.write_version(name, facts) as draft:
        write_adapter(draft.folder, seed=seed, fingerprint=base.fingerprint, **sizes)
    workspace.registry.promote(name, 1, force=True)


def test_experts_of_any_base_answer_at_once_as_they_do_alone(workspace):
    texts = [f"where is parcel {n}?" for n in range(4)]
    asked = [(name, text) for text in texts for name in (*EXPERTS, "tiny", "second")]
    with running(workspace.service(["tiny"]), workspace=workspace) as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)

        def answer(one):
            name, text = one
            message = [{"role": "user", "content": text}]
            return client.chat.completions.create(model=name, messages=message, max_tokens=6, temperature=0)

        listed = {model.id: model.parent for model in client.models.list()}
        alone = [answer(one).choices[0].message.content for one in asked]
        with ThreadPoolExecutor(12) as pool:
            together = list(pool.map(answer, asked))
    assert listed == {**EXPERTS, "tiny": None, "second": None, "third": None}
    assert [one.choices[0].message.content for one in together] == alone
    assert {one.model for one in together} >= {"orders@1", "tickets@1", "reviews@1"}
    assert len({text for (_, question), text in zip(asked, alone, strict=True) if question == texts[0]}) > 3


def test_a_base_is_loaded_when_it_is_first_needed(workspace):
    service = workspace.service(["tiny"])
    assert [line.partition(":")[0] for line in service.loaded()] == ["tiny"]
    service.models()
    assert len(service.loaded()) == 1
    assert service.resolve("orders").parent == "second"
    assert [line.partition(":")[0] for line in service.loaded()] == ["second", "tiny"]
    assert service.resolve("third").id == "third"
    assert "MB of weights, computed with PyTorch" in service.loaded()[1]


def test_without_a_choice_the_bases_of_all_experts_are_loaded(workspace):
    loaded = workspace.service().loaded()
    assert [line.partition(":")[0] for line in loaded][-3:] == ["second", "third", "tiny"]


def test_an_adapter_of_another_base_is_refused(workspace):
    expert = workspace.expert("orders")
    with pytest.raises(WrongBase):
        workspace.served("third").know(expert.version, expert.folder)
