"""`/v1/load_lora_adapter`: adapters from one folder, for admins, under names that answer at once."""

from dataclasses import replace

import httpx
import pytest

from chiliad.base import BaseStore
from chiliad.store import Role
from tests.registry.tiny import write_adapter
from tests.server.platform import serving

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@pytest.fixture
def adapters(settings, tmp_path):
    """A folder with the adapter `a`."""
    folder = tmp_path / "adapters"
    for number, name in enumerate(("a", "b")):
        (folder / name).mkdir(parents=True)
        write_adapter(folder / name, seed=number, fingerprint=BaseStore(settings.cache_dir).get("tiny").fingerprint)
    return folder


@pytest.fixture
def platform(settings, adapters):
    with serving(replace(settings, server=replace(settings.server, adapter_folder=adapters))) as served:
        yield served


@pytest.fixture
def http(platform):
    secret = platform.accounts.keys.create("admin", role=Role.ADMIN).secret
    with platform.http(headers={"Authorization": f"Bearer {secret}"}) as http:
        yield http


def load(http: httpx.Client, path="a", **more):
    return http.post(LOAD, json={"lora_name": "mine", "lora_path": str(path), "base_model_name": "tiny", **more})


def answers(http: httpx.Client, model="mine"):
    reply = http.post("/v1/completions", json={"model": model, "prompt": "x", "max_tokens": 8})
    return reply.json()["choices"][0]["text"] if reply.status_code == 200 else reply.status_code


def refused(reply, status, code):
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text
    assert reply.json()["error"]["fix"]


def test_an_adapter_answers_until_it_is_unloaded(http, adapters):
    reply = load(http)
    assert (reply.status_code, reply.text) == (200, "Success: LoRA adapter 'mine' added successfully.")
    first = answers(http)
    assert first != answers(http, "tiny")
    assert "mine" in {model["id"] for model in http.get("/v1/models").json()["data"]}
    refused(load(http, "b"), 400, "invalid_value")
    assert load(http, adapters / "b", load_inplace=True).status_code == 200
    assert answers(http) != first
    assert http.post(UNLOAD, json={"lora_name": "mine"}).status_code == 200
    assert answers(http) == 404
    refused(http.post(UNLOAD, json={"lora_name": "mine"}), 404, "model_not_found")
    assert (adapters / "a" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    "path", ["nothing", "..", ".", "/", "../outside", "/etc", "link", "linked", "a\0b", "x" * 4000]
)
def test_nothing_outside_of_the_folder_is_looked_at(http, adapters, path):
    outside = adapters.parent / "outside"
    (adapters / "b").rename(outside)
    (adapters / "link").symlink_to(outside)
    (adapters / "linked").mkdir()
    for file in outside.iterdir():
        (adapters / "linked" / file.name).symlink_to(file)
    refused(load(http, path), 400, "invalid_adapter")


def test_a_broken_adapter_does_not_come_in(http, adapters):
    path = adapters / "a" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(load(http), 400, "invalid_adapter")
    assert answers(http) == 404


def test_what_was_made_here_is_neither_replaced_nor_unloaded(http, platform, adapters):
    from chiliad.registry.import_ import import_adapter

    base = platform.service._workspace.bases.get("tiny")
    registry = platform.service._workspace.registry
    registry.promote("ours", import_adapter(registry, "ours", adapters / "a", base).number)
    refused(load(http, lora_name="ours", load_inplace=True), 400, "invalid_value")
    refused(http.post(UNLOAD, json={"lora_name": "ours"}), 400, "invalid_value")
    assert isinstance(answers(http, "ours"), str)


def test_without_a_folder_nothing_is_loaded(settings):
    with serving(settings) as served:
        secret = served.accounts.keys.create("admin", role=Role.ADMIN).secret
        with served.http(headers={"Authorization": f"Bearer {secret}"}) as http:
            refused(load(http), 403, "not_permitted")
