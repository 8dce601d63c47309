"""Packs: what one workspace packed is live in another, whole; what is broken or made to do harm changes nothing."""

import json
import time
from dataclasses import replace

import pytest

from chiliad.base import BaseStore
from chiliad.errors import BrokenAdapter, BrokenPack, ChiliadError, RegistryError, StoreError, WrongBase
from chiliad.registry import ExpertFacts
from chiliad.registry.install import install_pack
from chiliad.registry.pack import Worth, new_pack, open_pack
from chiliad.registry.registry import utc_now
from tests.base.tiny import write_folder
from tests.registry.conftest import open_registry
from tests.registry.test_backup import Forged
from tests.registry.tiny import write_adapter

NAMES = ("dates", "money", "words")
WORTH = Worth("accuracy", 0.75, 40, "few_shot", 0.25)


@pytest.fixture
def base(tmp_path):
    return BaseStore(tmp_path / "cache").pull(str(write_folder(tmp_path / "tiny")), name="tiny")


@pytest.fixture
def target(tmp_path):
    return open_registry(tmp_path / "theirs")


@pytest.fixture
def pack(registry, base, tmp_path):
    """Three experts, one of them with closed answers."""
    return write_pack(registry, base, tmp_path / "pack.zip", NAMES)


def write_pack(registry, base, path, names):
    with new_pack(path) as writer:
        for seed, name in enumerate(names):
            facts = ExpertFacts(
                base_id=base.id,
                base_fingerprint=base.fingerprint,
                kind="labels" if seed == 0 else "text",
                choices=("yes", "no") if seed == 0 else (),
                instruction=f"Do {name}.",
            )
            with registry.write_version(name, facts) as draft:
                write_adapter(draft.folder, seed=seed, fingerprint=base.fingerprint)
            version, folder = registry.get(draft.ref), registry.folder(draft.ref)
            about = {"family": "f", "training": {"rows": 9, "run": "x"}, "worth": WORTH, "samples": (("a", "b"),)}
            writer.add(version, folder, b"{{ messages }}", **about)
        writer.finish("three", base.id, base.fingerprint, utc_now())
    return path


def _told(registry, names=NAMES):
    versions = [registry.get(name) for name in names]
    return [(v.adapter_hash, v.kind, v.choices, v.instruction, v.base_fingerprint) for v in versions]


def test_all_of_a_pack_is_live_in_another_workspace(registry, target, pack, base):
    installed = install_pack(target, pack, base)
    assert ([str(ref) for ref in installed.new], installed.present) == (["dates@1", "money@1", "words@1"], ())
    assert _told(target) == _told(registry, [f"{name}@1" for name in NAMES])
    version = target.get("dates")
    assert version.training["imported_from"] == "pack.zip"
    assert version.training["pack"] == {"title": "three", "family": "f", "worth": vars(WORTH)}
    assert "run" not in version.training
    assert (target.folder(version.ref) / "chat_template.jinja").read_bytes() == b"{{ messages }}"
    assert [(step.action, step.version) for step in target.history("dates")] == [("promote", 1)]
    rebuilt = open_registry(target.workspace)
    assert not rebuilt.rebuild()
    assert _told(rebuilt) == _told(target)


def test_the_same_pack_again_adds_only_what_is_missing_and_no_number_twice(target, pack, base):
    install_pack(target, pack, base)
    again = install_pack(target, pack, base)
    assert (again.new, len(again.present)) == ((), 3)
    target.delete_expert("money")
    assert [str(ref) for ref in install_pack(target, pack, base).new] == ["money@2"]


def test_an_expert_whose_versions_were_all_deleted_is_installed_again(target, pack, base):
    install_pack(target, pack, base)
    for name in ("money", "words"):
        target.delete(target.get(name).ref, force=True)
    target.rebuild()
    install_pack(target, pack, base)
    assert [str(target.get(name).ref) for name in NAMES] == ["dates@1", "money@2", "words@2"]
    assert [(step.action, step.version) for step in target.history("words")] == [
        ("promote", 1),
        ("withdraw", 1),
        ("promote", 2),
    ]
    before = target.experts()
    assert not target.rebuild()
    assert target.experts() == before


def test_a_version_that_cannot_be_read_keeps_its_name_and_all_others_out(target, pack, base):
    folder = target.experts_root / "words" / "1"
    folder.mkdir(parents=True)
    with pytest.raises(RegistryError, match=r"already: words\."):
        install_pack(target, pack, base)
    assert [entry.name for entry in sorted(target.experts_root.iterdir())] == [".lock", "words"]


def test_a_kill_before_the_rows_were_written_loses_nothing(target, pack, base, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(target, "record_live", killed)
    with pytest.raises(KeyboardInterrupt):
        install_pack(target, pack, base)
    after = open_registry(target.workspace)
    assert [expert.name for expert in after.experts()] == list(NAMES)
    assert len(install_pack(after, pack, base).present) == 3


def test_another_expert_of_the_same_name_is_never_replaced(registry, target, pack, base, tmp_path):
    own = write_pack(target, base, tmp_path / "other.zip", ["words"])
    assert own.is_file()
    with pytest.raises(RegistryError, match=r"already: words\."):
        install_pack(target, pack, base)
    assert [expert.name for expert in target.experts()] == ["words"]


def test_another_base_is_refused(target, pack, base, tmp_path):
    from tests.base.tiny import write_folder as write

    other = BaseStore(tmp_path / "cache").pull(str(write(tmp_path / "other", seed=1)), name="other")
    with pytest.raises(WrongBase, match="are for tiny"):
        install_pack(target, pack, other)


def _line(forged, **changes):
    """Change what the pack says of its first expert."""
    first, *others = forged.members["experts.jsonl"].splitlines()
    lines = [json.dumps({**json.loads(first), **changes}).encode(), *others]
    forged.add("experts.jsonl", b"\n".join(lines))


def _weights(forged, change):
    name = "adapters/dates/adapter_model.safetensors"
    forged.add(name, change(forged.members[name]))


HARM = {
    "outside": lambda forged: forged.add("../outside", b"x"),
    "other member": lambda forged: forged.add("chiliad.db", b"x"),
    "nested basis": lambda forged: forged.add("basis/a/b", b"x"),
    "bomb": lambda forged: forged.add("basis/x", bytes(96 << 20)),
    "unlisted": lambda forged: forged.members.update({"adapters/dates/more": b"x"}),
    "changed": lambda forged: forged.members.update({"templates/x": b"x"}),
    "missing": lambda forged: forged.members.pop("adapters/money/adapter_config.json"),
    "index gone": lambda forged: forged.members.pop("experts.jsonl"),
    "not the listed adapter": lambda forged: _line(forged, adapter_hash="0" * 64),
    "name with a path": lambda forged: _line(forged, name="../../x"),
    "name twice": lambda forged: _line(forged, name="money"),
    "name of chiliad's own": lambda forged: _line(forged, name="auto"),
    "unknown kind": lambda forged: _line(forged, kind="poem"),
    "wrong field": lambda forged: _line(forged, worth="very much"),
    "no such template": lambda forged: _line(forged, template="manifest.json"),
    "no JSON": lambda forged: forged.add("experts.jsonl", b"{"),
    "fewer experts": lambda forged: forged.manifest.update(experts=2),
    "newer format": lambda forged: forged.manifest.update(format=2),
    "cut weights": lambda forged: _weights(forged, lambda data: data[:-100]),
    "no manifest": lambda forged: setattr(forged, "manifest", [1]),
}


def _files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_what_is_broken_is_refused_whole(target, pack, base, tmp_path, harm):
    forged = Forged(tmp_path / "forged.zip", pack)
    harm(forged)
    forged.write()
    before = _files(tmp_path)
    with pytest.raises(ChiliadError) as refused:
        install_pack(target, forged.path, base)
    assert isinstance(refused.value, BrokenPack | BrokenAdapter | RegistryError)
    assert refused.value.fix
    assert target.experts() == []
    assert _files(tmp_path) == before


@pytest.mark.parametrize("content", [b"{% for x in %}", b"\xff"])
def test_a_template_that_is_none_is_refused(target, pack, base, tmp_path, content):
    forged = Forged(tmp_path / "forged.zip", pack)
    forged.add(next(name for name in forged.members if name.startswith("templates/")), content)
    with pytest.raises(BrokenAdapter, match="no chat template"):
        install_pack(target, forged.write(), base)
    assert target.experts() == []


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_pack_that_was_cut_short_is_refused(target, pack, base, share):
    whole = pack.read_bytes()
    pack.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BrokenPack, match="not a whole pack"):
        install_pack(target, pack, base)


def test_no_file_and_a_file_in_the_way_are_told(registry, base, pack, target, tmp_path):
    with pytest.raises(StoreError, match="no file"), open_pack(tmp_path / "none.zip"):
        pass
    with pytest.raises(StoreError, match="exists already"), new_pack(pack):
        pass


def test_three_hundred_experts_are_installed_in_seconds(registry, target, base, tmp_path):
    """A version at a time would take a hundred times as long as is allowed here."""
    pack = write_pack(registry, base, tmp_path / "few.zip", ["one"])
    forged = Forged(tmp_path / "many.zip", pack)
    line = json.loads(forged.members["experts.jsonl"])
    lines = []
    for number in range(300):
        name = f"e{number}"
        lines.append(json.dumps({**line, "name": name}))
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            forged.add(f"adapters/{name}/{file}", forged.members[f"adapters/one/{file}"])
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        forged.members.pop(f"adapters/one/{file}")
        forged.manifest["members"].pop(f"adapters/one/{file}")
    forged.add("experts.jsonl", "\n".join(lines).encode())
    forged.manifest["experts"] = 300
    forged.write()
    started = time.process_time()
    assert len(install_pack(target, forged.path, base).new) == 300
    assert time.process_time() - started < 30
    assert len(target.experts()) == 300


def test_a_pack_says_what_it_holds(pack, base):
    with open_pack(pack) as found:
        assert (found.facts.title, found.facts.experts, found.facts.base_fingerprint) == ("three", 3, base.fingerprint)
        assert [expert.name for expert in found.experts] == list(NAMES)
        assert found.experts[1] == replace(found.experts[1], worth=WORTH, samples=(("a", "b"),))
