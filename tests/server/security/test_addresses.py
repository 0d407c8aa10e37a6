"""Which addresses may be opened: every range, every notation, every way to hide one in another."""

from __future__ import annotations

import ipaddress

import pytest

from server.errors import BadRequest, MastreamError, SourceForbidden
from server.security.addresses import (
    AddressRules,
    address_rules,
    allowed,
    check_host,
    host_and_port,
    is_allowed,
    literal,
)

STRICT = address_rules(None, (), is_local=False)
HOME = address_rules(None, (), is_local=True)

PUBLIC = ("8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808")
AT_HOME = (
    "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.20",
    "100.64.0.1", "::1", "fd12:3456::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1",
)  # fmt: skip
NEVER = (
    "0.0.0.0", "169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1", "::", "255.255.255.255", "240.0.0.1",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1",
    "2002:7f00:1::", "2002:808:808::", "2001:0:7f00:1::1", "::127.0.0.1", "::10.0.0.1",
    "64:ff9b:1::1", "fec0::1",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_opened(address: str) -> None:
    for rules in (STRICT, HOME):
        assert is_allowed(ipaddress.ip_address(address), rules)


@pytest.mark.parametrize("address", AT_HOME)
def test_private_ones_only_at_home(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), HOME)
    assert not is_allowed(ipaddress.ip_address(address), STRICT)


@pytest.mark.parametrize("address", NEVER)
def test_others_only_if_they_are_listed(address: str) -> None:
    given = ipaddress.ip_address(address)
    assert not is_allowed(given, HOME) and not is_allowed(given, STRICT)
    everything = address_rules(("0.0.0.0/0", "::/0"), (), is_local=False)
    assert is_allowed(given, everything)


def test_networks_that_are_listed_replace_those_at_home() -> None:
    rules = address_rules(("192.168.0.0/16",), (), is_local=True)
    assert is_allowed(ipaddress.ip_address("192.168.1.1"), rules)
    assert is_allowed(ipaddress.ip_address("::ffff:192.168.1.1"), rules)
    assert not is_allowed(ipaddress.ip_address("10.0.0.1"), rules)
    assert not is_allowed(ipaddress.ip_address("127.0.0.1"), rules)
    assert rules.is_strict and STRICT.is_strict and not HOME.is_strict


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1",
     "127.0.0.1.", "\uff11\uff12\uff17.0.0.1",
     "①②⑦.0.0.1", "[::1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]",
     "127。0。0。1"],
)  # fmt: skip
def test_loopback_is_found_in_every_notation(host: str) -> None:
    name, port = host_and_port(f"rtsp://user:pass@{host}:8554/path")
    assert port == 8554
    with pytest.raises(SourceForbidden, match="MASTREAM_LIVE__NETWORKS"):
        check_host(name, STRICT)
    check_host(name, HOME)


@pytest.mark.parametrize(
    "url",
    ["rtsp://a@b@127.0.0.1/x", "http://good.example\\@127.0.0.1/", "http://good.example\\.evil/",
     "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://%31%32%37.0.0.1/", "http:///x",
     "http://host:99999/", "http://host:x/", "http://[::1/", "http://ho\tst/", "http://ho\rst/x",
     "http://" + "é" * 70 + "/", "http://a" + ".a" * 150 + "/", "http://user@:80/"],
)  # fmt: skip
def test_a_host_that_is_ambiguous_is_refused(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        host_and_port(url)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("rtsp://cam/x", "cam", 554),
        ("rtsps://CAM.Example.org./x", "cam.example.org", 322),
        ("https://user:p%40ss@h/x?y#z", "h", 443),
        ("http://bücher.example/", "xn--bcher-kva.example", 80),
        ("http://127.0.0.1:80#@good.example/", "127.0.0.1", 80),
    ],
)
def test_the_host_is_the_one_that_is_connected_to(url: str, host: str, port: int) -> None:
    assert host_and_port(url) == (host, port)


def test_only_hosts_that_are_listed_are_opened_if_any_are() -> None:
    rules = address_rules(None, ("cam.example.org", "*.Cameras.example."), is_local=True)
    assert rules.is_strict
    for good in ("cam.example.org", "a.cameras.example", "a.b.cameras.example"):
        check_host(good, rules)
    for bad in ("example.org", "xcam.example.org", "cameras.example", "evilcameras.example",
                ".cameras.example", "8.8.8.8"):  # fmt: skip
        with pytest.raises(SourceForbidden, match="MASTREAM_LIVE__HOSTS"):
            check_host(bad, rules)


def test_of_a_names_addresses_those_allowed_are_taken() -> None:
    found = [ipaddress.ip_address(one) for one in ("10.0.0.1", "8.8.8.8", "::1", "1.1.1.1")]
    assert allowed(found, "name", STRICT) == [found[1], found[3]]
    with pytest.raises(SourceForbidden, match="may not open name"):
        allowed(found[:1], "name", STRICT)
    with pytest.raises(MastreamError):
        allowed([], "name", AddressRules())


def test_names_are_no_addresses() -> None:
    assert literal("cam.example.org") is None and literal("127.0.0.1x") is None
