import socket

import pytest

from chiliad.errors import ConfigError
from chiliad.server.process import check_exposure, listen


def test_loopback_needs_neither_flag_nor_key():
    check_exposure("127.0.0.1", allow_network=False, api_key=None)


@pytest.mark.parametrize(("allow_network", "api_key"), [(False, None), (False, "key"), (True, None), (True, "")])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "host.example"])
def test_a_network_needs_both(host, allow_network, api_key):
    with pytest.raises(ConfigError) as caught:
        check_exposure(host, allow_network=allow_network, api_key=api_key)
    assert "CHILIAD_API_KEY" in caught.value.fix


def test_a_network_with_both_is_fine():
    check_exposure("0.0.0.0", allow_network=True, api_key="key")


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
