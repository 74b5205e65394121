"""How a proxy is written, and that its secrets are shown nowhere."""

from __future__ import annotations

import base64

import pytest

from afx.errors import UsageError
from afx.proxies import Proxy, ProxyKind, parse_proxy

SECRET = "000102030405060708090a0b0c0d0e0f"
BYTES = bytes.fromhex(SECRET)


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("socks5://1.2.3.4:1080", Proxy(ProxyKind.SOCKS5, "1.2.3.4", 1080)),
        (
            "http://ann:p%40ss@h.example:3128",
            Proxy(ProxyKind.HTTP, "h.example", 3128, "ann", "p@ss"),
        ),
        ("socks5://ann:x@[2001:db8::1]:9", Proxy(ProxyKind.SOCKS5, "2001:db8::1", 9, "ann", "x")),
        (f"mtproxy://{SECRET}@h:443", Proxy(ProxyKind.MTPROXY, "h", 443, secret=BYTES)),
        (f"mtproxy://dd{SECRET}@h:443", Proxy(ProxyKind.MTPROXY, "h", 443, secret=BYTES)),
        (
            f"https://t.me/proxy?server=h&port=443&secret=dd{SECRET}",
            Proxy(ProxyKind.MTPROXY, "h", 443, secret=BYTES),
        ),
        (
            "tg://proxy?server=h&port=443&secret="
            + base64.urlsafe_b64encode(b"\xdd" + BYTES).decode().rstrip("="),
            Proxy(ProxyKind.MTPROXY, "h", 443, secret=BYTES),
        ),
        (
            "https://t.me/socks?server=1.2.3.4&port=1080&user=ann&pass=x",
            Proxy(ProxyKind.SOCKS5, "1.2.3.4", 1080, "ann", "x"),
        ),
    ],
)
def test_a_proxy_is_read_in_each_form_and_written_in_one(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy
    assert parse_proxy(proxy.url) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3.4:1080",
        "ftp://h:21",
        "socks5://h",
        "socks5://h:0",
        "socks5://h:70000",
        "socks5://ann@h:1080",
        "socks5://:hunter2@h:1080",
        "socks5://ann:hunter2@h:1080/path",
        "socks5://ann:hunter2%0d%0a@h:1080",
        "http://ann:hunter2@h\r\nHost: x:80",
        "http://an%3An:hunter2@h:80",
        "socks5://ann:" + "hunter2" * 60 + "@h:1080",
        "socks5://ann:hunter2@h_:1080",
        "socks5://ann:hunter2@[::1:1080",
        "mtproxy://hunter2@h:443",
        f"mtproxy://ee{SECRET}676f6f676c65@h:443",
        "https://t.me/proxy?server=h&port=x&secret=" + SECRET,
        "x" * 5000,
    ],
)
def test_what_is_no_proxy_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_proxy(text)
    assert "hunter2" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_proxy_shows_no_secret() -> None:
    for proxy in (
        Proxy(ProxyKind.SOCKS5, "h", 1, "ann", "hunter2"),
        Proxy(ProxyKind.MTPROXY, "h", 1, secret=BYTES),
    ):
        shown = f"{proxy} {proxy!r}"
        assert "hunter2" not in shown
        assert SECRET not in shown
        assert "\\x01" not in shown
