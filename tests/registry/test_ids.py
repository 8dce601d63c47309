"""Names that are safe as folders and as the `model` of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiliad.errors import ExpertNotFound, RegistryError
from chiliad.registry.ids import ExpertRef, check_name, is_name


@pytest.mark.parametrize("name", ["tickets", "t", "order-details", "tickets.v2", "a_b", "7", "x" * 64])
def test_good_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Tickets",
        "..",
        ".",
        "a/b",
        "../a",
        "a..b",
        "-a",
        "a-",
        ".a",
        "a.",
        "a@1",
        "a b",
        "ä",
        "a\n",
        "x" * 65,
        "a\\b",
    ],
)
def test_bad_names(name):
    with pytest.raises(RegistryError, match="cannot be the name"):
        check_name(name)


def test_the_fix_proposes_a_name_that_works():
    with pytest.raises(RegistryError, match="'my-tickets-2026'"):
        check_name("My Tickets (2026)")


def test_reserved_names():
    with pytest.raises(RegistryError, match="taken"):
        check_name("base")
    with pytest.raises(RegistryError, match="taken"):
        check_name("smollm2", reserved=frozenset({"smollm2"}))


@given(st.text(alphabet="ab./\\@-_ .\n", max_size=8))
def test_no_name_leaves_its_folder(text):
    if is_name(text):
        assert "/" not in text
        assert "\\" not in text
        assert text not in {".", ".."}
        assert not text.startswith(".")


def test_references():
    assert ExpertRef.parse("tickets") == ExpertRef("tickets")
    assert ExpertRef.parse("tickets@3") == ExpertRef("tickets", 3)
    assert str(ExpertRef("tickets", 3)) == "tickets@3"


@pytest.mark.parametrize("text", ["tickets@", "tickets@0", "tickets@x", "tickets@-1", "@3", "../x@1", "a@1@2", "a@٣"])
def test_what_is_no_reference_is_not_found(text):
    with pytest.raises(ExpertNotFound):
        ExpertRef.parse(text)
