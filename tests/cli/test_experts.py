"""`chiliad experts` and `chiliad gc`: the registry by hand."""

import json

import pytest

from chiliad.store.files import write_atomic
from chiliad.workspace import Workspace
from tests.cli.conftest import FAST, contents


@pytest.fixture
def workspace(settings):
    """An empty workspace."""
    Workspace.open(settings).close()
    return settings.workspace


@pytest.fixture
def adapter(chiliad, live, tmp_path):
    """The live version as an exported folder."""
    assert chiliad("experts", "export", "tickets", "--out", tmp_path / "adapter").code == 0
    return tmp_path / "adapter"


def test_an_empty_workspace_says_how_to_begin(chiliad, workspace):
    assert "chiliad train" in chiliad("experts", "list").out
    assert json.loads(chiliad("experts", "list", "--json").out) == []
    assert chiliad("gc").out == "0.0 MB can go.\n"


@pytest.mark.parametrize(
    "arguments",
    [("experts", "list"), ("experts", "show", "tickets"), ("experts", "promote", "tickets@1"),
     ("experts", "rollback", "tickets"), ("experts", "export", "tickets", "--out", "out"),
     ("experts", "export", "tickets", "--out", "out", "--format", "merged"), ("experts", "delete", "tickets@1"),
     ("gc",), ("gc", "--delete"), ("ask", "tickets", "hello"), ("eval", "tickets"),
     ("correct", "tickets", "--data", "x.csv")],
)  # fmt: skip
def test_a_mistyped_workspace_is_told_and_not_made(chiliad, live, tmp_path, arguments):
    chiliad(*arguments, "-w", "wss").refused("no workspace in wss")
    assert not (tmp_path / "wss").exists()
    (tmp_path / "photos").mkdir()
    chiliad(*arguments, "-w", "photos").refused("no workspace in photos")
    assert not list((tmp_path / "photos").iterdir())


def test_a_workspace_without_its_database_is_one(chiliad, live):
    for path in live.glob("chiliad.db*"):
        path.unlink()
    assert "tickets@1" in chiliad("experts", "list").out


def test_list_and_show(chiliad, live):
    listed = json.loads(chiliad("experts", "list", "--json").out)
    assert [(e["name"], e["live"], e["versions"], e["kind"], e["base"]) for e in listed] == [
        ("tickets", 1, [1], "labels", "tiny")
    ]
    assert "tickets@1" in chiliad("experts", "list").out
    shown = json.loads(chiliad("experts", "show", "tickets", "--json").out)
    assert shown["choices"] == ["damage", "refund", "status"]
    assert [(step["action"], step["version"], step["forced"]) for step in shown["history"]] == [("promote", 1, False)]
    assert "promote tickets@1" in chiliad("experts", "show", "tickets").out
    told = chiliad("experts", "show", "tickets").out
    assert told.startswith("tickets@1 is live.\nworth      ")
    assert "answers    damage, refund, status\n" in told
    assert "None" not in told
    chiliad("experts", "show", "weather").refused("no expert 'weather'")


def test_a_version_comes_in_goes_live_and_back(chiliad, live, adapter):
    assert "tickets@2 is here" in chiliad("experts", "import", "tickets", adapter, "--base", "tiny").out
    promoted = chiliad("experts", "promote", "tickets@2")
    assert promoted.code == 0, promoted.err
    assert "tickets@2 is live. accuracy" in promoted.out
    assert "tickets@1 is live again" in chiliad("experts", "rollback", "tickets").out
    chiliad("experts", "rollback", "tickets").refused("no earlier live version")


def test_an_import_is_judged_on_the_live_versions_test_rows(chiliad, live, adapter):
    (adapter / "expert.json").unlink()
    chiliad("experts", "import", "tickets", adapter, "--base", "tiny")
    chiliad("experts", "promote", "tickets@2").refused("tickets@2 is significantly worse than the live version 1")
    assert json.loads(chiliad("experts", "show", "tickets", "--json").out)["number"] == 1
    assert chiliad("experts", "promote", "tickets@2", "--force").code == 0
    assert "promote tickets@2 (forced)" in chiliad("experts", "show", "tickets").out
    assert chiliad("experts", "show", "tickets@1").out.startswith("tickets@1 is not live; version 2 is.\n")


def test_deleting(chiliad, live, adapter):
    chiliad("experts", "import", "tickets", adapter, "--base", "tiny")
    before = contents(live)
    chiliad("experts", "delete", "tickets@1").refused("is live")
    chiliad("experts", "delete", "tickets").refused("not clear")
    chiliad("experts", "delete", "tickets@1", "--all").refused("not clear")
    assert contents(live) == before
    assert chiliad("experts", "delete", "tickets@2").code == 0
    chiliad("ask", "tickets@2", "hello").refused("no version tickets@2")
    assert chiliad("experts", "delete", "tickets", "--all").code == 0
    assert json.loads(chiliad("experts", "list", "--json").out) == []


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("peft", {"adapter_config.json", "adapter_model.safetensors"}),
        ("merged", {"model.safetensors", "config.json", "tokenizer.json"}),
        ("gguf", {"expert.gguf", "lora.gguf", "Modelfile"}),
    ],
)
def test_every_format_is_written_and_compared(chiliad, live, tmp_path, form, files):
    done = chiliad("experts", "export", "tickets", "--format", form, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["expert"], told["format"]) == ("tickets@1", form)
    assert told["difference_max"] < 0.01
    if form == "merged":
        assert 0 <= told["logprob_difference_max"] < 0.2
    assert files <= {path.name for path in (tmp_path / "out").iterdir()}
    chiliad("experts", "export", "tickets", "--format", form, "--out", tmp_path / "out").refused("exists already")


def test_gc_shows_first_and_deletes_only_when_told(chiliad, live, adapter, table):
    for _ in range(2):
        chiliad("experts", "import", "tickets", adapter, "--base", "tiny")
    write_atomic(live / "datasets" / ".staging-killed" / "examples.jsonl", "{")
    before = contents(live)
    found = json.loads(chiliad("gc", "--keep", "1", "--json").out)
    assert found["versions"] == ["tickets@2"]
    assert [path.rsplit("/", 1)[1] for path in found["leftovers"]] == [".staging-killed"]
    assert (found["datasets"], found["deleted"]) == ([], False)
    assert contents(live) == before
    assert "deleted" in chiliad("gc", "--keep", "1", "--delete").out
    assert json.loads(chiliad("experts", "list", "--json").out)[0]["versions"] == [1, 3]
    assert chiliad("gc", "--keep", "1").out == "0.0 MB can go.\n"
    assert chiliad("ask", "tickets", "where is box 3").code == 0
    assert chiliad("train", "tickets", "--data", table, *FAST, "--rank", "3").code == 0


def test_a_deleted_database_comes_back_from_the_files(chiliad, live):
    before = chiliad("experts", "list", "--json").out
    for path in live.glob("chiliad.db*"):
        path.unlink()
    assert chiliad("experts", "list", "--json").out == before


def test_a_broken_record_is_named_and_the_rest_still_works(chiliad, live, adapter):
    chiliad("experts", "import", "tickets", adapter, "--base", "tiny")
    (live / "experts" / "tickets" / "2" / "expert.json").write_text("{")
    for path in live.glob("chiliad.db*"):
        path.unlink()
    listed = chiliad("experts", "list")
    assert listed.code == 0
    assert "Warning: Cannot read" in listed.err
    assert "tickets@1" in listed.out
