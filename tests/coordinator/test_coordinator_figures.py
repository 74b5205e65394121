"""What a coordinator's probes say while it leads, stands by, or gets no answer."""

from __future__ import annotations

from afx.clock import Clock
from afx.coordinator.coordinator_figures import CoordinatorFigures
from afx.exposition import lines

now = [100.0]
CLOCK = Clock(lambda: now[0], lambda: now[0], lambda: now[0])


def shown(figures: CoordinatorFigures) -> set[str]:
    return {it for it in lines(figures.probed().metrics()) if not it.startswith("#")}


def test_a_coordinator_leads_or_stands_by() -> None:
    figures = CoordinatorFigures(CLOCK)
    assert figures.probed().readiness().detail == "stands by"
    figures.note_lead(7)
    figures.note_tick(0.25, waits_for_sql=False)
    assert figures.probed().readiness().detail == "leads in term 7"
    assert {
        "afx_coordinator_leads 1",
        "afx_coordinator_term 7",
        "afx_coordinator_ticks_total 1",
        "afx_coordinator_tick_seconds_total 0.25",
    } <= shown(figures)
    figures.note_end("fenced")
    figures.note_end("stopped")  # it did not lead any more
    found = shown(figures)
    assert 'afx_coordinator_ended_terms_total{kind="fenced"} 1' in found
    assert not any("stopped" in it for it in found)


def test_an_outage_is_counted_once_however_long_it_lasts() -> None:
    figures = CoordinatorFigures(CLOCK)
    for _ in range(3):
        figures.note_tick(0.1, waits_for_sql=True)
    figures.note_away("redis")
    assert figures.probed().readiness().detail == "no answer from: database and redis"
    assert 'afx_coordinator_outages_total{kind="database"} 1' in shown(figures)
    assert 'afx_coordinator_away{kind="redis"} 1' in shown(figures)
    figures.note_alive()
    assert figures.probed().readiness().ok
    figures.note_away("database")
    assert 'afx_coordinator_outages_total{kind="database"} 2' in shown(figures)


def test_a_loop_that_stands_still_is_not_healthy() -> None:
    figures = CoordinatorFigures(CLOCK)
    now[0] += 29
    assert figures.probed().health().ok
    now[0] += 2
    assert not figures.probed().health().ok
    figures.note_away("redis")  # it runs, and waits
    assert figures.probed().health().ok
