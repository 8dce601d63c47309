"""URLs that are not of a database are refused, and nothing that could be a password is said."""

import pytest

from chiliad.config import Settings
from chiliad.errors import StoreError
from chiliad.store import Store


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "mysql://u:secret@h/x",
        "postgresql+asyncpg://u:secret@h/x",
        "postgresql://u:sec@ret@h/x",
        "postgresql://u:secret@h:port/x",
    ],
)
def test_other_urls_are_refused_without_repeating_them(url):
    with pytest.raises(StoreError, match=r"sqlite:////.* or postgresql://") as refused:
        Store.open(url)
    assert "secret" not in str(refused.value)
    assert "ret@" not in str(refused.value)


def test_settings_do_not_show_the_url():
    settings = Settings.load(environ={}, database_url="postgresql://u:secret@h/x")
    assert "secret" not in repr(settings)
