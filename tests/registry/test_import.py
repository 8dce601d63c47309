"""Adapters from elsewhere: what peft saved comes in whole, and what is broken does not come in at all."""

import json
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from chiliad.base import BaseStore
from chiliad.errors import BrokenAdapter, RegistryError, StoreError, WrongBase
from chiliad.registry import ExpertFacts
from chiliad.registry.export_peft import export_peft
from chiliad.registry.import_ import import_adapter
from tests.base.tiny import write_folder
from tests.registry.conftest import open_registry
from tests.registry.tiny import WIDTHS, write_adapter

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture
def base(tmp_path):
    return BaseStore(tmp_path / "cache").pull(str(write_folder(tmp_path / "tiny")), name="tiny")


@pytest.fixture
def adapter(tmp_path, base):
    """A folder with a good adapter for the tiny base."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_adapter(folder, fingerprint=base.fingerprint)
    return folder


def test_what_peft_saved_comes_in(registry, base, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=2, lora_alpha=4, target_modules=list(WIDTHS), init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base.path), config).save_pretrained(tmp_path / "theirs")
    version = import_adapter(registry, "tickets", tmp_path / "theirs", base)
    folder = registry.folder(version.ref)
    assert (version.number, version.base_fingerprint, version.kind) == (1, base.fingerprint, "text")
    assert version.training == {"imported_from": "theirs", "adapter": "lora"}
    assert (folder / "chat_template.jinja").read_text() == base.chat_template().source
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_closed_answers_can_be_given(registry, base, adapter):
    version = import_adapter(registry, "tickets", adapter, base, choices=("refund", "status"))
    assert (version.kind, version.choices) == ("labels", ("refund", "status"))


def test_the_name_of_a_fine_tuned_model_does_not_come_along(registry, base, adapter):
    named = {"rank": 4, "fine_tuned_model": "ft:tiny:local:tickets:abc", "run": "0" * 64}
    facts = ExpertFacts(base_id=base.id, base_fingerprint=base.fingerprint, kind="text", training=named)
    with registry.write_version("tickets", facts) as draft:
        write_adapter(draft.folder, fingerprint=base.fingerprint)
    version = import_adapter(registry, "other", registry.folder(draft.ref), base)
    assert version.training == {"rank": 4, "imported_from": "1", "adapter": "lora"}


@pytest.mark.parametrize("source", ["{% for x in %}", b"\xff"])
def test_a_broken_template_is_refused(registry, base, adapter, source):
    (adapter / "chat_template.jinja").write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises(BrokenAdapter, match="no chat template"):
        import_adapter(registry, "tickets", adapter, base)
    assert registry.experts() == []


@pytest.mark.parametrize("sizes", [{"lora_alpha": float("nan")}, {"lora_alpha": float("inf")}, {"r": 0}])
def test_sizes_that_are_none_are_refused(registry, base, adapter, sizes):
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | sizes))
    with pytest.raises(BrokenAdapter, match="no usable r and lora_alpha"):
        import_adapter(registry, "tickets", adapter, base)


@pytest.mark.parametrize("target", ["tickets", "tickets.zip"])
def test_an_export_comes_back_with_what_is_known_about_it(registry, base, adapter, tmp_path, target):
    facts = ExpertFacts(
        base_id=base.id, base_fingerprint=base.fingerprint, kind="labels", choices=("a", "b"), training={"rank": 4}
    )
    with registry.write_version("tickets", facts) as draft:
        shutil.copytree(adapter, draft.folder, dirs_exist_ok=True)
        (draft.folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
        (draft.folder / "card.json").write_text("{}")
    version = registry.get(draft.ref)
    export_peft(version, registry.folder(draft.ref), tmp_path / target)
    elsewhere = open_registry(tmp_path / "other-ws")
    again = import_adapter(elsewhere, "triage", tmp_path / target, base)
    folder = elsewhere.folder(again.ref)
    assert again.adapter_hash == version.adapter_hash
    assert (again.name, again.kind, again.choices, again.parent) == ("triage", "labels", ("a", "b"), None)
    assert again.training == {"rank": 4, "imported_from": target, "adapter": "lora"}
    assert (folder / "chat_template.jinja").read_text() == "{{ messages[0].content }}"
    assert not (folder / "card.json").exists(), "a card is computed here or not shown"


def truncate(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickle(folder):
    path = folder / "adapter_model.safetensors"
    torch.save(load_file(path), folder / "adapter_model.bin")
    path.unlink()


def put_nan(folder):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, path)


def configure(**changes):
    def change(folder):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def break_json(folder):
    (folder / "adapter_config.json").write_text("{")


def forget_config(folder):
    (folder / "adapter_config.json").unlink()


def fill_with_noise(folder):
    (folder / "adapter_model.safetensors").write_bytes(b"\xff" * 1000)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        pickle,
        put_nan,
        configure(peft_type="IA3"),
        configure(peft_type=None),
        configure(use_dora=True),
        break_json,
        forget_config,
        fill_with_noise,
    ],
)
def test_a_broken_adapter_is_refused_and_leaves_nothing(registry, workspace, base, adapter, damage):
    damage(adapter)
    with pytest.raises(BrokenAdapter) as refused:
        import_adapter(registry, "tickets", adapter, base)
    assert refused.value.fix
    assert registry.experts() == []
    assert not (workspace / "experts").exists()


def test_the_fix_for_a_pickle_says_why(registry, base, adapter):
    pickle(adapter)
    with pytest.raises(BrokenAdapter, match="pickle files can run code"):
        import_adapter(registry, "tickets", adapter, base)


def test_an_adapter_that_names_another_base_is_refused(registry, base, adapter):
    write_adapter(adapter, fingerprint="e" * 64)
    with pytest.raises(WrongBase):
        import_adapter(registry, "tickets", adapter, base)


def test_an_adapter_of_another_size_is_refused(registry, base, tmp_path):
    folder = tmp_path / "wide"
    folder.mkdir()
    write_adapter(folder, fingerprint=base.fingerprint, widths={"q_proj": (128, 64)})
    with pytest.raises(WrongBase, match=r"of size \(64, 128\); tiny has \(64, 64\)"):
        import_adapter(registry, "tickets", folder, base)


def test_an_adapter_of_a_deeper_base_is_refused(registry, base, tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    write_adapter(folder, fingerprint=base.fingerprint, layers=3)
    with pytest.raises(WrongBase, match="no such matrix"):
        import_adapter(registry, "tickets", folder, base)


def test_an_exported_record_of_another_base_is_refused(registry, base, adapter):
    document = {
        "base_id": "other", "base_fingerprint": "e" * 64, "kind": "text", "choices": [], "instruction": None,
        "dataset_hash": None, "parent": None, "training": {}, "name": "x", "number": 1, "adapter_hash": "a",
        "created": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    (adapter / "expert.json").write_text(json.dumps(document))
    with pytest.raises(WrongBase, match="made for other"):
        import_adapter(registry, "tickets", adapter, base)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half an archive"])
def test_what_is_no_adapter_is_refused(registry, base, tmp_path, content):
    path = tmp_path / "thing.zip"
    path.write_bytes(content)
    with pytest.raises(BrokenAdapter, match="neither a folder nor a zip"):
        import_adapter(registry, "tickets", path, base)
    with pytest.raises(BrokenAdapter, match="neither a folder nor a zip"):
        import_adapter(registry, "tickets", tmp_path / "missing", base)


def test_an_archive_cannot_write_elsewhere(registry, base, adapter, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for path in adapter.iterdir():
            archive.write(path, path.name)
        archive.writestr("../../evil.txt", "out")
        archive.writestr("adapter_model.bin", "pickle")
    version = import_adapter(registry, "tickets", tmp_path / "evil.zip", base)
    assert {path.name for path in registry.folder(version.ref).iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "expert.json",
    }
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_damaged_archive_is_refused(registry, base, adapter, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in adapter.iterdir():
            archive.write(path, path.name)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[2000:2100] = bytes(100)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BrokenAdapter):
        import_adapter(registry, "tickets", tmp_path / "a.zip", base)


def test_a_bad_name_is_refused_before_anything_is_read(registry, base, tmp_path):
    with pytest.raises(RegistryError, match="cannot be the name"):
        import_adapter(registry, "../tickets", tmp_path / "missing", base)


def test_a_full_disk_leaves_no_version(base, adapter, small_disk):
    registry = open_registry(small_disk)
    (small_disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 40_000))
    with pytest.raises(StoreError, match="disk is full"):
        import_adapter(registry, "tickets", adapter, base)
    assert registry.experts() == []


def test_an_encrypted_archive_is_refused(registry, base, adapter, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in adapter.iterdir():
            archive.write(path, path.name)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(signature)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(signature, place + 4)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BrokenAdapter, match="encrypted"):
        import_adapter(registry, "tickets", tmp_path / "a.zip", base)
