"""Where webhooks may lead, and how their requests are signed."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography.fernet import Fernet

from afx.errors import SecretError
from afx.security import webhook_signature as signing
from afx.security.vault import Vault
from afx.security.webhook_targets import check_url, is_allowed

FORBIDDEN = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "::",
    "::1",
    "::7f00:1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:db8::1",
    "no address",
    "",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_webhook_never_leads_to_what_is_not_public(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700:4700::1111"])
def test_a_webhook_may_lead_to_public_addresses(address: str) -> None:
    assert is_allowed(address)


def test_a_setting_allows_a_network_and_no_other() -> None:
    networks = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("127.0.0.0/8")]
    assert is_allowed("10.1.2.3", networks)
    assert is_allowed("::ffff:127.0.0.1", networks)
    assert not is_allowed("10.2.0.1", networks)
    assert not is_allowed("::1", networks)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://",
        "https://:443/",
        "https://a:b@example.org/",
        "https://@example.org/",
        "https://example.org/#x",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:x/",
        "https://exam ple.org/",
        "https://example.org/\r\nx: y",
        "https://example.org\\@127.0.0.1/",
        "https://bücher.example/",
        "https://[::1",
        "https://example.org/" + "a" * 500,
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"it must|its host|it has"):
        check_url(url)


def test_a_url_has_its_parts() -> None:
    assert check_url("https://Example.org/a?b=c") == ("https", "example.org", 443, "/a?b=c")
    assert check_url("http://[2001:db8::1]:8080") == ("http", "2001:db8::1", 8080, "/")


def test_a_receiver_accepts_what_is_signed_with_its_secret_and_nothing_else() -> None:
    secret, old = signing.new_secret(), signing.new_secret()
    header = signing.signature([secret, old], 1_000, b"body")
    assert signing.verify(secret, header, "1000", b"body", 1_100)
    assert signing.verify(old, header, "1000", b"body", 1_100)
    assert not signing.verify(signing.new_secret(), header, "1000", b"body", 1_100)
    assert not signing.verify(secret, header, "1000", b"Body", 1_100)
    assert not signing.verify(secret, header, "1001", b"body", 1_100)
    assert not signing.verify(secret, header, "1000", b"body", 1_301)
    assert not signing.verify(secret, header, "1000x", b"body", 1_100)
    assert not signing.verify(secret, "", "1000", b"body", 1_100)
    assert not signing.verify(secret, "v1=é", "1000", b"body", 1_100)


def test_the_secret_of_a_webhook_opens_with_an_older_key_and_no_other() -> None:
    first, second = (Fernet.generate_key().decode() for _ in range(2))
    sealed = Vault([first]).seal_webhook_secret("whsec_x")
    assert "whsec_x" not in sealed
    assert Vault([second, first]).open_webhook_secret(sealed) == "whsec_x"
    for text in (sealed[:-4] + "AAAA", sealed.replace("1.", "2.", 1), "", "1.%", "1.AAAA"):
        with pytest.raises(SecretError, match="afx webhook rotate"):
            Vault([first]).open_webhook_secret(text)
    with pytest.raises(SecretError):
        Vault([second]).open_webhook_secret(sealed)
