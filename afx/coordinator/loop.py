"""A coordinator's process: stands by, is elected, runs one term after another."""

from __future__ import annotations

import contextlib
import threading
from contextlib import closing

import redis
import structlog

from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster import events, standbys
from afx.cluster.connection import connect
from afx.cluster.leadership import LeaderElection, Leadership, new_holder
from afx.cluster.quarantine import Quarantine
from afx.cluster.registry import Registry
from afx.config import Settings
from afx.coordinator.coordinator_figures import CoordinatorFigures
from afx.coordinator.coordinator_restart import CoordinatorRestart
from afx.coordinator.database_outage import SQL_ERRORS
from afx.coordinator.orders import Orders
from afx.coordinator.term import Resources, Term
from afx.errors import FencedError
from afx.probes import answering
from afx.security.signing import SigningKeys
from afx.security.vault import Vault
from models.base import reopen_database
from models.storage import cluster, controls
from models.transitions import TransitionError

_STAND_BY_SECONDS = 0.5
_REDIS_RETRY_SECONDS = 0.5
_DATABASE_RETRY_SECONDS = 1.0
_ERROR_RETRY_SECONDS = 1.0

log = structlog.get_logger()


class Coordinator:
    """One coordinator; several stand by for each other."""

    def __init__(
        self, settings: Settings, redis_url: str, vault: Vault, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        client = connect(redis_url)
        raw_client = connect(redis_url, decode=False)
        signing_keys = SigningKeys(vault.signing_keys())
        self._resources = Resources(
            settings=settings,
            client=client,
            raw_client=raw_client,
            registry=Registry(client, Quarantine(client)),
            orders=Orders(raw_client, signing_keys, settings.job_ttl_seconds, clock=clock.time),
            signing_keys=signing_keys,
            audit_keys=vault.audit_keys(),
            clock=clock,
            restart=CoordinatorRestart(),
            vault=vault,
        )
        self._election = LeaderElection(
            redis_url,
            holder=new_holder(),
            ttl_seconds=settings.leader_ttl_seconds,
            stop_seconds=settings.leader_stop_seconds,
            tick_limit_seconds=settings.tick_limit_seconds,
            clock=clock,
        )
        self._figures = CoordinatorFigures(clock)
        self._stop = threading.Event()
        self._restart_due = False
        self._standing_by = False
        self._sql_is_away = False

    def request_stop(self, *_: object) -> None:
        """End after the tick under way."""
        self._stop.set()

    def run(self) -> bool:
        """Lead when possible, stand by otherwise, until a stop is requested.

        True when an operator has requested that this coordinator restarts.
        """
        try:
            address = self._resources.settings.metrics_address
            with answering(address, self._figures.probed()):
                while not self._stop.is_set():
                    self._run_once()
        finally:
            with contextlib.suppress(redis.RedisError):
                standbys.leave(self._resources.client, self._election.name)
            self._election.close()
            self._resources.client.close()
            self._resources.raw_client.close()
        return self._restart_due

    def _run_once(self) -> None:
        """Run a term, or stand by for a moment; what ends a term is logged."""
        try:
            leadership = self._try_to_lead()
            self._sql_is_away = False
            self._figures.note_alive()
            if leadership is None:
                self._stand_by()
            else:
                self._standing_by = False
                self._lead(leadership)
                self._figures.note_end("stopped")
        except FencedError as error:
            self._figures.note_end("fenced")
            log.warning("leadership_lost", reason=str(error))
        except TransitionError as error:
            # Memory differs from SQL: the next term reads SQL again.
            self._figures.note_end("out_of_sync")
            log.error("assignments_out_of_sync", reason=str(error))
        except redis.RedisError as error:
            self._figures.note_end("redis_away")
            self._figures.note_away("redis")
            log.warning("redis_unreachable", reason=str(error))
            self._stop.wait(_REDIS_RETRY_SECONDS)
        except SQL_ERRORS as error:
            self._figures.note_end("database_away")
            self._figures.note_away("database")
            self._wait_for_sql(error)
        except Exception:
            self._note_unforeseen()

    def _note_unforeseen(self) -> None:
        """Go on after an error that is a defect of the program, not of its surroundings.

        Called while the error is handled. A coordinator that ended would leave the nodes
        unobserved; the next term reads everything anew.
        """
        self._figures.note_end("unforeseen")
        log.exception("coordinator_error")
        self._stop.wait(_ERROR_RETRY_SECONDS)

    def _try_to_lead(self) -> Leadership | None:
        """Begin a term; None while another coordinator leads.

        No term begins, and no generation is used up, before SQL takes writes.
        """
        above = cluster.term()
        if not self._election.is_vacant():
            return None
        cluster.check_writable()
        return self._election.acquire(above)

    def _wait_for_sql(self, error: Exception) -> None:
        if not self._sql_is_away:
            self._sql_is_away = True
            log.warning("database_unreachable", reason=str(error).partition("\n")[0])
        self._stop.wait(_DATABASE_RETRY_SECONDS)
        with contextlib.suppress(*SQL_ERRORS):
            reopen_database()

    def _stand_by(self) -> None:
        if not self._standing_by:
            self._standing_by = True
            log.info("standing_by")
        now = self._resources.clock.monotonic()
        if self._resources.restart.is_due(controls.open_ones(), now, leads=False):
            self._restart()
        standbys.note(self._resources.client, self._election.name)
        self._stop.wait(_STAND_BY_SECONDS)

    def _lead(self, leadership: Leadership) -> None:
        """Run one term until it ends, and resign."""
        try:
            with closing(Term(self._resources, leadership)) as term:
                leadership.note_progress()
                standbys.leave(self._resources.client, self._election.name)
                self._figures.note_lead(leadership.term)
                log.info("leading", term=leadership.term, generation=term.generation)
                events.announce(self._resources.client, "leading", term=leadership.term)
                while not self._stop.is_set():
                    leadership.check()
                    began = self._resources.clock.monotonic()
                    if term.tick():
                        self._restart()
                    leadership.note_progress()
                    seconds = self._resources.clock.monotonic() - began
                    self._figures.note_tick(seconds, waits_for_sql=term.waits_for_sql)
                    if term.waits_for_sql:
                        self._stop.wait(self._resources.settings.tick_seconds)
        finally:
            leadership.resign()

    def _restart(self) -> None:
        log.info("coordinator_restarting")
        self._restart_due = True
        self._stop.set()
