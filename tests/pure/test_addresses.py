"""Which addresses lie outside, in whatever dress they come."""

from ipaddress import ip_address

import pytest

from domain.addresses import Allowance, is_outside

OUTSIDE = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
INSIDE = [
    *("0.0.0.0", "10.0.0.1", "127.0.0.1", "127.255.255.254", "172.16.0.1", "192.168.1.1"),
    *("100.64.0.1", "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.0.192"),
    *("192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff0e::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
    *("64:ff9b:1::1", "2002:7f00:1::", "2001:0:5ef5:79fd::1", "2001:db8::1", "3fff::1"),
]


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_lies_outside(address: str) -> None:
    assert is_outside(ip_address(address))


@pytest.mark.parametrize("address", INSIDE)
def test_everything_else_lies_inside(address: str) -> None:
    assert not is_outside(ip_address(address))


def test_what_is_allowed_is_named_or_in_a_network() -> None:
    allowance = Allowance.read("ERP.internal, 10.1.0.0/16, 192.168.7.7, fd00::/8")
    assert allowance.names("erp.INTERNAL.")
    assert not allowance.names("erp.internal.example.com")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "192.168.7.7", "fd00::1"):
        assert allowance.holds(ip_address(address)), address
    for address in ("10.2.0.1", "192.168.7.8", "127.0.0.1"):
        assert not allowance.holds(ip_address(address)), address


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="has host bits set"):
        Allowance.read("10.1.0.1/16")
