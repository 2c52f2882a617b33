"""Which addresses belong to the public internet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.address import is_loopback, is_public


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "20.50.2.1", "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1"],
)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "::", "0.1.2.3"),
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"),
        *("169.254.169.254", "169.254.170.2", "168.63.129.16", "fd00:ec2::254", "fe80::1", "fc00::1", "fec0::1"),
        *("224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "240.0.0.1"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.1", "192.88.99.1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1"),
        *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:20::1", "3fff::1", "5f00::1", "100::1"),
    ],
)
def test_special_addresses_and_those_that_embed_others_are_not(address: str) -> None:
    assert not is_public(ip_address(address))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_the_standard_library_knows_to_be_special(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


def test_only_a_plain_loopback_address_is_this_machines() -> None:
    assert all(is_loopback(ip_address(one)) for one in ("127.0.0.1", "127.9.9.9", "::1"))
    others = ("::ffff:127.0.0.1", "0.0.0.0", "::", "128.0.0.1", "10.0.0.1", "::2")
    assert not any(is_loopback(ip_address(one)) for one in others)
