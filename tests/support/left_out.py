"""Ends a test run with the tests that it left out, and why; also under xdist.

The list of markers in pyproject.toml gives the reasons: a test
that the default ``-m`` expression deselects is named under its marker's description.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

_CHOOSING = ("-m", "-k", "--deselect", "--lf", "--last-failed", "--sw", "--stepwise")
"""Arguments with which a person chooses tests: those tests are counted, not named."""


class LeftOut:
    """Collects the tests that did not run, from this process or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._deselected: dict[str, list[str]] = {}

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note the tests and their markers."""
        for item in items:
            self._deselected[item.nodeid] = [mark.name for mark in item.iter_markers()]

    def pytest_sessionfinish(self) -> None:
        """In a worker of xdist: send what was noted to the process that reports."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["deselected"] = self._deselected

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker of xdist noted; each of them deselects the same tests."""
        self._deselected |= getattr(node, "workeroutput", {}).get("deselected", {})

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the tests, grouped by reason."""
        groups = _skipped(terminalreporter.stats.get("skipped", ()))
        arguments = [str(it) for it in self._config.invocation_params.args]
        chosen = [it for it in arguments if it.startswith(_CHOOSING)]
        if not chosen:
            for reason, tests in self._by_marker().items():
                groups[reason] += tests
        terminalreporter.section("tests left out")
        if chosen and self._deselected:
            terminalreporter.line(f"{len(self._deselected)} not chosen by: {' '.join(arguments)}")
        for reason, tests in sorted(groups.items()):
            terminalreporter.line(f"{len(tests)} because: {reason}")
            for test in sorted(tests):
                terminalreporter.line(f"  {test}")
        if not groups and not self._deselected:
            terminalreporter.line("none: each test that was asked for ran")

    def _by_marker(self) -> Mapping[str, list[str]]:
        reasons = {
            name.partition("(")[0].strip(): text.strip()
            for name, _, text in (it.partition(":") for it in self._config.getini("markers"))
        }
        expression = str(self._config.option.markexpr)
        groups: dict[str, list[str]] = defaultdict(list)
        for test, markers in self._deselected.items():
            marker = next((it for it in markers if it in expression.split()), None)
            groups[reasons.get(marker or "", f"not chosen by -m '{expression}'")].append(test)
        return groups


def _skipped(reports: Iterable[Any]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        groups[reason.removeprefix("Skipped: ")].append(report.nodeid)
    return groups
