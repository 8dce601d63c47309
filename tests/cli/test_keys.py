"""`chiliad keys`, `chiliad audit` and `chiliad costs`."""

import getpass
import json
import re

import pytest

from chiliad.config import Settings
from chiliad.store import Entry, Keys, Ledger, Settled, Store

ENTRY = Entry("a", 1_800_000_000.0, "key-1", "shop", "tickets@1", 2, 800, 0, 20, 0.5, 1.0, 0.25)


def test_a_key_is_made_listed_and_revoked(chiliad, settings):
    made = chiliad(
        "keys", "create", "Ann's laptop", "--role", "member", "--project", "shop", "--tokens-per-minute", 900
    )
    assert made.code == 0, made.err
    secret = made.out.rpartition(" ")[2].strip()
    store = Store.of(settings)
    key = Keys(store.database).by_secret(secret)
    store.close()
    assert (key.name, key.role, key.project, key.limits.tokens_per_minute) == ("Ann's laptop", "member", "shop", 900)
    listed = chiliad("keys", "list")
    assert key.id in listed.out
    assert secret not in listed.out
    assert "revoked" in chiliad("keys", "revoke", key.id).out
    (told,) = json.loads(chiliad("keys", "list", "--json").out)
    assert told["revoked_s"] is not None
    assert "secret" not in told
    newest, oldest = json.loads(chiliad("audit", "--json").out)
    assert (oldest["action"], newest["action"], newest["subject"]) == ("key.create", "key.revoke", key.id)
    assert newest["actor"] == f"os:{getpass.getuser()}"
    assert "key.revoke" in chiliad("audit", "--limit", 1).out


def test_a_program_gets_the_secret_as_json(chiliad):
    told = json.loads(chiliad("keys", "create", "app", "--expires-in-days", "0.5", "--json").out)
    assert told["secret"].startswith(told["prefix"])
    assert told["expires_s"] - told["created_s"] == pytest.approx(12 * 3600, abs=60)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["create", ""], "needs a name"),
        (["create", "a", "--project", "A B"], "no name for a project"),
        (["create", "a", "--expires-in-days", "-1"], "cannot end then"),
        (["create", "a", "--expires-in-days", "1e9"], "cannot end then"),
    ],
)
def test_a_key_that_cannot_be_is_refused(chiliad, options, cause):
    chiliad("keys", *options).refused(cause)


def test_an_unknown_key_or_workspace_is_refused(chiliad):
    chiliad("keys", "list").refused("no workspace")
    chiliad("keys", "create", "a")
    chiliad("keys", "revoke", "key-0").refused("no key")


def test_experts_moves_are_in_the_audit_log(chiliad, live):
    chiliad("experts", "delete", "tickets@1", "--force")
    actions = [entry["action"] for entry in json.loads(chiliad("audit", "--json").out)]
    assert actions == ["version.delete", "version.withdraw", "version.promote", "version.write"]


def test_costs_are_told_for_people_and_for_programs(chiliad, settings: Settings, live):
    empty = chiliad("costs")
    assert "assumptions" in empty.out
    assert "Nothing was asked yet" in empty.out
    store = Store.of(settings)
    Ledger(store.database).record([Settled(ENTRY)], {})
    store.close()
    told = chiliad("costs", "--hosted", "gpt-5-mini").out
    assert "tickets@1" in told
    assert "neither outcomes nor a test score" in told
    assert re.search(r"gpt-5-mini +\S+ USD", told)
    report = json.loads(chiliad("costs", "--json", "--since", "2027-01-15", "--until", "2027-01-16").out)
    assert report["experts"][0]["cost_per_answer"] == 0.125
    assert json.loads(chiliad("costs", "--json", "--until", "2027-01-15").out)["total"]["requests"] == 0
    assert json.loads(chiliad("costs", "--json", "--project", "desk").out)["total"]["requests"] == 0
