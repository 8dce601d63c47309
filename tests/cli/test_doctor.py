"""`chiliad doctor`: what is missing is named with what to do; what is there is really tried."""

import json

import pytest

from chiliad.base import DEFAULT_BASE, BaseStore
from chiliad.config import Settings
from chiliad.kernels import path_in_use

CHECKS = ["python", "torch", "kernels", "cache", "base weights", "bases", "database", "one token"]


def test_a_missing_base_is_named_with_the_command_that_fetches_it(chiliad, tmp_path):
    seen = chiliad("doctor", "--json")
    assert seen.code == 1
    findings = {finding["check"]: finding for finding in json.loads(seen.out)}
    assert list(findings) == CHECKS
    assert {check for check in CHECKS if not findings[check]["ok"]} == {"base weights", "one token"}
    assert f"chiliad base pull {DEFAULT_BASE}" in findings["base weights"]["fix"]
    told = chiliad("doctor").out
    assert told.count("BAD") == told.count("Fix: ") == 2
    assert not (tmp_path / "ws").exists()


def test_a_workspace_that_is_there_is_opened(chiliad, live):
    findings = {finding["check"]: finding for finding in json.loads(chiliad("doctor", "--json").out)}
    assert findings["database"]["told"] == "ws opens, 1 experts"
    (live / "chiliad.db").write_bytes(b"this is no database" * 100)
    findings = {finding["check"]: finding for finding in json.loads(chiliad("doctor", "--json").out)}
    assert not findings["database"]["ok"]
    assert "move the file away" in findings["database"]["fix"]


def test_a_place_that_cannot_be_a_workspace_is_told(chiliad, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "ws"):
        findings = {one["check"]: one for one in json.loads(chiliad("doctor", "--json", "-w", folder).out)}
        assert not findings["database"]["ok"], folder
        assert "again" not in findings["database"]["fix"], "installing again would not help"


@pytest.mark.real_base
def test_on_a_machine_with_the_default_base_everything_is_well(chiliad, monkeypatch):
    cache = Settings.load(environ={}).cache_dir
    if DEFAULT_BASE not in BaseStore(cache).ids():
        pytest.skip("the default base is not in the cache")
    monkeypatch.setenv("CHILIAD_CACHE", str(cache))
    seen = chiliad("doctor")
    assert seen.code == 0, seen.out
    assert [line[:3] for line in seen.out.splitlines()] == ["ok "] * len(CHECKS)
    assert "generated" in seen.out


def test_the_path_of_the_kernels_is_told_and_can_be_set(chiliad, monkeypatch):
    findings = {finding["check"]: finding for finding in json.loads(chiliad("doctor", "--json").out)}
    assert findings["kernels"]["told"] == path_in_use()
    monkeypatch.setenv("CHILIAD_NATIVE", "0")
    assert "no setting" not in chiliad("doctor", "--json").err
