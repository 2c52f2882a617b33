"""What an operator may name as a place for tools, and what nobody may."""

from __future__ import annotations

import pytest

from shared.egress import Egress, EgressRefused, origin_problem
from shared.origin import Origin


@pytest.mark.parametrize(
    "url",
    [
        "https://api.open-meteo.com",
        "https://api.open-meteo.com:8443/v1?x=y",
        "HTTPS://API.example.COM/",
        "https://1.1.1.1",
    ],
)
def test_a_setting_may_name_a_place_of_the_public_internet(url: str) -> None:
    assert origin_problem(url, development=False) is None


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "api.example.com",
            "//api.example.com",
            "ftp://api.example.com",
            "file:///etc/passwd",
            "https://",
            "https:///x",
        ),
        *("http://api.example.com", "https://user@api.example.com", "https://u:p@api.example.com", "https://@a.com"),
        *("https://api.example.com.", "https://api..example.com", "https://.example.com", "https://-a.example.com"),
        *("https://api.example.com:0", "https://api.example.com:65536", "https://api.example.com:", "https://a:b.com"),
        *(
            "https://api.example.com#x",
            "https://api.example.com\\@evil.com",
            "https://api.example.com /",
            " https://a.com",
        ),
        *("https://api.ex\u00e4mple.com", "https://\u0430pi.example.com", "https://api\u3002example.com"),
        *("https://\uff45vil.com", "https://a%2eb", "https://a_b.com"),
        *("https://api.example.com\n", "https://api.example.com/\r\nHost: x", "https://api.example.com/\u00e4"),
        *(
            "https://10.0.0.1",
            "https://192.168.0.1",
            "https://169.254.169.254",
            "https://168.63.129.16",
            "https://100.64.0.1",
        ),
        *("https://[fd00:ec2::254]", "https://[fe80::1]", "https://[::ffff:8.8.8.8]", "https://[::ffff:7f00:1]"),
        *("https://[64:ff9b::808:808]", "https://[2002:7f00:1::]", "https://[2001::1]", "https://[fe80::1%25eth0]"),
        *("https://2130706433", "https://017700000001", "https://0x7f000001", "https://127.1", "https://0177.0.0.1"),
        *(
            "https://0x7f.0.0.1",
            "https://1.2.3",
            "https://1.2.3.4.5",
            "https://256.1.1.1",
            "https://01.1.1.1",
            "https://[1]",
        ),
        *("https://127.0.0.1", "http://127.0.0.1", "http://[::1]", "https://localhost.127"),
    ],
)
def test_a_setting_that_names_anything_else_is_refused(url: str) -> None:
    assert origin_problem(url, development=False)
    with pytest.raises(EgressRefused) as caught:
        Egress([url])
    assert url == "" or url not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7074", "http://[::1]:7074", "https://127.0.0.1:7074", "http://127.0.0.2"]
)
def test_a_development_host_may_name_a_literal_loopback_address(url: str) -> None:
    assert origin_problem(url, development=True) is None
    assert "development host" in (origin_problem(url, development=False) or "")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:7074",
        "http://[::ffff:127.0.0.1]:7074",
        "http://10.0.0.1",
        "http://api.example.com",
        "http://127.1:7074",
    ],
)
def test_a_development_host_may_name_nothing_else_without_tls(url: str) -> None:
    assert origin_problem(url, development=True)


def test_an_endpoint_that_is_no_url_closes_nothing() -> None:
    assert origin_problem("http://127.0.0.1:7074", development=True, never=["http://x:y", ""]) is None


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:7072", "http://127.0.0.1:7072/msi/token"),
        ("http://127.0.0.1:7072/else", "http://localhost:7072/msi/token"),
        ("http://[::1]:7072", "http://127.0.0.1:7072/msi/token"),
        ("http://127.0.0.2:7072", "http://127.0.0.1:7072/msi/token"),
        ("https://identity.example.com", "http://identity.example.com:42356/msi/token"),
    ],
)
def test_no_setting_opens_the_identity_endpoint(url: str, endpoint: str) -> None:
    assert "identity endpoint" in (origin_problem(url, development=True, never=[endpoint]) or "")
    with pytest.raises(EgressRefused, match="identity endpoint"):
        Egress([url], development=True, never=[endpoint])


def test_an_origin_is_the_same_however_it_is_capitalised_and_with_its_usual_port() -> None:
    assert Origin.of("https://API.example.com:443/x") == Origin.of("https://api.example.com")
    assert Origin.of("http://[0:0::1]:80") == Origin.of("http://[::1]")
    assert Origin.of("https://api.example.com") != Origin.of("http://api.example.com:443")
