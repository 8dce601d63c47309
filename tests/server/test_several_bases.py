"""Bases of different architectures behind one URL, each with an engine and experts of its own."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import openai
import pytest

from chiliad.base import BaseStore
from chiliad.errors import BaseNotLoaded, WrongBase
from chiliad.registry import ExpertFacts
from chiliad.workspace import Workspace
from chiliad.workspace.bases_in_use import BasesInUse
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
    with pytest.raises(BaseNotLoaded) as missing:
        service.resolve("orders")
    service.load(missing.value.base_id)
    assert service.resolve("orders").parent == "second"
    assert [line.partition(":")[0] for line in service.loaded()] == ["second", "tiny"]
    service.load("third")
    assert service.resolve("third").id == "third"
    assert "MB of weights, computed with PyTorch" in service.loaded()[1]


def test_those_who_wait_for_a_base_leave_worker_threads_to_the_others(workspace):
    service, waiting, come = workspace.service(["tiny"]), 40, threading.Semaphore(0)
    resolve = service.resolve

    def counted(model_id):
        come.release()
        return resolve(model_id)

    service.resolve = counted
    with running(service, workspace=workspace) as served, ThreadPoolExecutor(waiting) as pool, served.http() as http:

        def ask(model):
            body = {"model": model, "messages": [{"role": "user", "content": "where?"}], "max_tokens": 2}
            return http.post("/v1/chat/completions", json=body).status_code

        with service._loading:  # as if a base were being read
            asked = [pool.submit(ask, "orders") for _ in range(waiting)]
            assert all(come.acquire(timeout=60) for _ in range(waiting))
            assert ask("tickets") == 200
            assert not any(one.done() for one in asked)
        assert [one.result() for one in asked] == [200] * waiting


def test_threads_that_ask_for_a_base_at_once_share_it(workspace):
    together = threading.Barrier(4)

    class Slow(BaseStore):
        def get(self, base_id, **options):
            found = super().get(base_id, **options)
            time.sleep(0.05)
            return found

    in_use = BasesInUse(Slow(workspace.settings.cache_dir), workspace.settings)

    def get(_):
        together.wait()
        return in_use.get("second")

    with ThreadPoolExecutor(4) as pool:
        assert len({id(one) for one in list(pool.map(get, range(4)))}) == 1


def test_the_list_of_models_fetches_no_base(workspace, monkeypatch):
    service, asked, served = workspace.service(["tiny"]), [], workspace.served
    workspace.bases.remove("second")
    monkeypatch.setattr(workspace, "served", lambda base_id: asked.append(base_id) or served(base_id))
    assert {model.id for model in service.models()} == {"tickets", "reviews", "tiny", "third"}
    assert "second" not in asked


def test_without_a_choice_the_bases_of_all_experts_are_loaded(workspace):
    loaded = workspace.service().loaded()
    assert [line.partition(":")[0] for line in loaded][-3:] == ["second", "third", "tiny"]


def test_an_adapter_of_another_base_is_refused(workspace):
    expert = workspace.expert("orders")
    with pytest.raises(WrongBase):
        workspace.served("third").know(expert.version, expert.folder)
