import socket
import time

import pytest

from chiliad.errors import ConfigError
from chiliad.server.process import check_exposure, check_key, listen
from chiliad.store import Role
from tests.server.conftest import opened_accounts


@pytest.fixture
def accounts():
    with opened_accounts(time.time) as accounts:
        yield accounts


def test_loopback_needs_neither_flag_nor_key(accounts):
    check_exposure("127.0.0.1", allow_network=False)
    check_key("127.0.0.1", accounts, api_key=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "host.example"])
def test_a_network_needs_the_flag_and_a_key(host, accounts):
    with pytest.raises(ConfigError, match="--allow-network"):
        check_exposure(host, allow_network=False)
    check_exposure(host, allow_network=True)
    for missing in (None, ""):
        with pytest.raises(ConfigError, match="chiliad keys create"):
            check_key(host, accounts, api_key=missing)
    check_key(host, accounts, api_key="key")
    accounts.keys.create("boss", role=Role.ADMIN)
    check_key(host, accounts, api_key=None)


def test_a_port_in_use_is_a_clear_error():
    with listen("127.0.0.1", 0) as taken, pytest.raises(ConfigError) as caught:
        listen("127.0.0.1", taken.getsockname()[1])
    assert "--port" in caught.value.fix


def test_an_address_that_is_not_ours_is_a_clear_error():
    with pytest.raises(ConfigError):
        listen("192.0.2.1", 8321)


def test_a_port_that_cannot_be_is_a_clear_error():
    with pytest.raises(ConfigError):
        listen("127.0.0.1", 99999)


def test_a_name_is_resolved():
    with listen("localhost", 0) as listener:
        assert listener.family in (socket.AF_INET, socket.AF_INET6)
