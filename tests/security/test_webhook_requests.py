"""One request of a webhook, to a real receiver that answers well, badly or not at all."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from support.certificates import Authority
from support.receiver import Receiver, receiver, reply

from afx.coordinator.decisions.webhook_retries import MOST_ATTEMPTS, pause_seconds
from afx.security import webhook_request
from afx.security.webhook_request import Result

LOCAL = [ipaddress.ip_network("127.0.0.0/8")]


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def post(url: str, **given: Any) -> Result:
    return webhook_request.post(url, b"{}", {"afx-event": "x"}, **{"networks": LOCAL, **given})


def test_a_receiver_gets_the_body_and_the_headers(target: Receiver) -> None:
    assert post(target.url) == Result(204)
    [got] = target.requests
    assert (got.path, got.body) == ("/hook?a=b", b"{}")
    assert got.headers["host"] == f"127.0.0.1:{target.port}"
    assert got.headers["afx-event"] == "x"


def test_nothing_is_sent_to_this_machine_by_default(target: Receiver) -> None:
    found = post(target.url, networks=[])
    assert "not public" in found.error and not target.requests


def test_a_name_of_which_one_address_is_private_is_refused(
    target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["93.184.215.14", "127.0.0.1"]

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (it, port)) for it in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    found = post(f"http://rebinds.example:{target.port}/", networks=[])
    assert "not public" in found.error and not target.requests


def test_a_name_is_resolved_once_and_the_checked_address_is_used(
    target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *args: Any, **given: Any) -> Any:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "192.0.2.1"
        return real(address, port, *args, **given)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert post(f"http://rebinds.example:{target.port}/").status == 204
    assert asked == ["rebinds.example"]
    assert target.requests[0].headers["host"] == f"rebinds.example:{target.port}"


def test_redirects_are_not_followed(target: Receiver) -> None:
    place = f"http://127.0.0.1:{target.port}/elsewhere"
    target.answer = lambda it: reply(it, 307, location=place)
    found = post(target.url)
    assert found.status == 307 and "redirects" in found.error
    assert len(target.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_every_other_status_is_a_failure(target: Receiver, status: int) -> None:
    target.answer = lambda it: reply(it, status, b"secret words of the receiver")
    assert post(target.url) == Result(status, f"the answer was {status}")


def test_a_receiver_may_ask_for_a_pause(target: Receiver) -> None:
    target.answer = lambda it: reply(it, 503, retry_after="120")
    assert post(target.url).retry_after == 120
    target.answer = lambda it: reply(it, 503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    assert post(target.url).retry_after == 0


def test_a_receiver_that_does_not_answer_is_left_at_the_deadline(target: Receiver) -> None:
    target.answer = lambda it: target.released.wait(60) and None
    began = time.monotonic()
    assert "no answer within" in post(target.url, seconds=0.3).error
    assert time.monotonic() - began < 10


def test_a_receiver_that_answers_byte_by_byte_is_left_at_the_deadline(target: Receiver) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
        while not target.released.wait(0.05):
            handler.wfile.write(b"y")

    target.answer = drip
    began = time.monotonic()
    assert "no answer within" in post(target.url, seconds=0.5).error
    assert time.monotonic() - began < 10


def test_a_huge_head_is_refused(target: Receiver) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            handler.wfile.write(b"x-%d: " % number + b"y" * 100 + b"\r\n")

    target.answer = flood
    assert post(target.url) == Result(None, "the answer is not HTTP")


def test_the_body_of_an_answer_is_not_read(target: Receiver) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while not target.released.is_set():
            handler.wfile.write(b"x" * 65536)

    target.answer = endless
    began = time.monotonic()
    assert post(target.url) == Result(200)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", b"", b"HTTP/1.1 x\r\n\r\n"])
def test_what_is_no_http_is_a_failure(target: Receiver, answer: bytes) -> None:
    target.answer = lambda it: it.wfile.write(answer) and None
    found = post(target.url)
    assert found.status is None and found.error


def test_a_receiver_that_is_down_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = post(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert "connection failed" in found.error


def test_a_plain_receiver_is_no_https_receiver(target: Receiver) -> None:
    found = post(target.url.replace("http:", "https:"), seconds=5)
    assert found.status is None and found.error and not target.requests


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def at(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a name lead to this machine; returns the name."""
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *args: Any, **given: Any) -> Any:
        return real("127.0.0.1" if host == name else host, port, *args, **given)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return name


@pytest.mark.parametrize("name", ["hooks.example", "127.0.0.1"])
def test_a_receiver_with_a_good_certificate_gets_the_request(
    authority: Authority, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(authority.server(name)) as target:
        url = f"https://{at(name, monkeypatch)}:{target.port}/hook"
        assert post(url, tls=authority.trusting()) == Result(204)
        assert [it.body for it in target.requests] == [b"{}"]


@pytest.mark.parametrize(
    ("of", "days", "trusted", "error"),
    [
        ("other.example", (-1, 1), True, "its certificate is not for its name"),
        ("hooks.example", (-9, -1), True, "its certificate has expired"),
        ("hooks.example", (1, 9), True, "its certificate is not valid yet"),
        ("hooks.example", (-1, 1), False, "is of no authority that this machine trusts"),
    ],
)
def test_a_receiver_with_a_bad_certificate_gets_nothing(
    authority: Authority,
    of: str,
    days: tuple[int, int],
    trusted: bool,
    error: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiver(authority.server(of, days)) as target:
        url = f"https://{at('hooks.example', monkeypatch)}:{target.port}/hook"
        context = authority.trusting() if trusted else ssl.create_default_context()
        found = post(url, tls=context)
        assert found.status is None and error in found.error and not target.requests


def test_an_address_needs_a_certificate_for_the_address(authority: Authority) -> None:
    with receiver(authority.server("localhost")) as target:
        found = post(target.url, tls=authority.trusting())
        assert found == Result(None, "its certificate is not for its address")
        assert not target.requests


def test_a_name_without_an_address_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert post("https://nowhere.example/").error == "its name has no address"


@pytest.mark.parametrize("url", ["ftp://a/", "http://a:b@c/", "http://" + "a" * 600])
def test_what_is_no_url_is_a_failure(url: str) -> None:
    assert "URL is not valid" in post(url).error


def test_the_pauses_grow_and_end() -> None:
    pauses = [pause_seconds(it, 0.5) for it in range(1, MOST_ATTEMPTS + 1)]
    assert pauses[:3] == [10, 30, 90] and pauses[-2:] == [21_600, None]
    assert pause_seconds(1, 0.0) == 8 and pause_seconds(1, 1.0) == 12
    assert pause_seconds(1, 0.5, 60) == 60
    assert pause_seconds(1, 0.5, 1e9) == 21_600
