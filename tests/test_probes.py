"""Probes of coordinators and nodes: metrics, health and readiness, on a thread of their own."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable

import pytest

from afx import probes
from afx.config import load
from afx.errors import ConfigError
from afx.exposition import Metric, by_label, lines, single
from afx.probe_address import parse_address
from afx.probes import Probed, State, answering

WELL, LEADS = State(True), State(True, "leads")


def probed(*metrics: Metric, health: State = WELL, readiness: State = LEADS) -> Probed:
    return Probed(lambda: metrics, lambda: health, lambda: readiness)


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_in_the_text_format() -> None:
    metrics = (
        single("afx_a", "gauge", "What it is.", 1.5),
        by_label("afx_b_total", "counter", "", "kind", {"y": 2, 'x"\n\\': 1}, ("node", "w1")),
    )
    assert list(lines(metrics)) == [
        "# HELP afx_a What it is.",
        "# TYPE afx_a gauge",
        "afx_a 1.5",
        "# TYPE afx_b_total counter",
        r'afx_b_total{node="w1",kind="x\"\n\\"} 1',
        'afx_b_total{node="w1",kind="y"} 2',
    ]


def test_a_process_answers_its_probes() -> None:
    with answering("127.0.0.1:0", probed(single("afx_a", "gauge", "", 1))) as port:
        assert ask(port, "/metrics") == (200, "# TYPE afx_a gauge\nafx_a 1\n")
        assert ask(port, "/metrics?x=1")[0] == 200
        assert ask(port, "/metrics", "HEAD") == (200, "")
        assert ask(port, "/healthz") == (200, "ok\n")
        assert ask(port, "/readyz") == (200, "leads\n")
        assert ask(port, "/other")[0] == 404
        assert ask(port, "/metrics", "POST")[0] == 405


def test_what_is_not_as_it_should_be_says_so() -> None:
    state = State(False, "the node has no lease")
    with answering("127.0.0.1:0", probed(health=State(False), readiness=state)) as port:
        assert ask(port, "/healthz") == (503, "not ok\n")
        assert ask(port, "/readyz") == (503, "the node has no lease\n")


def test_a_mistake_in_a_figure_ends_nothing() -> None:
    def broken() -> Iterable[Metric]:
        raise KeyError("secret")

    it = Probed(broken, lambda: State(True), lambda: State(True))
    with answering("127.0.0.1:0", it) as port:
        status, text = ask(port, "/metrics")
        assert status == 500 and "secret" not in text
        assert ask(port, "/healthz")[0] == 200


def test_a_client_that_says_nothing_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_REQUEST_SECONDS", 0.2)
    with answering("127.0.0.1:0", probed()) as port:
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"GET /metrics HTTP/1.1\r\n")
            assert ask(port, "/healthz")[0] == 200
        for junk in (b"\r\n\r\n", b"\xff" * 20_000, b"GET\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(junk)
        assert ask(port, "/healthz")[0] == 200


def test_each_process_takes_the_first_port_that_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with answering(f"127.0.0.1:{port}-{port + 20}", probed()) as found:
            assert port < found <= port + 20
            assert ask(found, "/healthz")[0] == 200
        # No port is free: the process runs all the same.
        with answering(f"127.0.0.1:{port}", probed()) as found:
            assert found == 0
    with answering("", probed()) as found:
        assert found == 0


def test_after_the_end_nothing_listens() -> None:
    with answering("127.0.0.1:0", probed()) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_address_has_a_host_and_ports() -> None:
    assert parse_address("127.0.0.1:8721") == ("127.0.0.1", range(8721, 8722))
    assert parse_address("[::1]:1-3") == ("::1", range(1, 4))


@pytest.mark.parametrize("text", ["8721", ":8721", "h:", "h:x", "h:2-1", "h:1-70000", "h:-1"])
def test_an_address_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="metrics_address"):
        load(metrics_address=text)
