"""Checks an installation, and says what to do about each finding.

Each check is a function that yields findings; one that cannot be made is itself
a finding. Nothing is changed.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from afx.config import Settings, config_file
from afx.errors import AfxError
from afx.node.resources import Resources
from afx.operations.findings import Finding, Grade
from afx.operations.home_checks import check_home
from afx.operations.redis_checks import check_clock, check_redis, version_numbers
from afx.operations.webhook_checks import check_webhooks
from afx.security.keyfile import KEY_FILE, read_keys
from afx.security.vault import Vault
from models import base, schema
from models.storage import sessions

_MIB = 1024 * 1024
_OURS = ("afx", "cli", "jobs", "models")
_LEAST_SPACE = 1024 * _MIB
_LOGIN_DAYS = 7.0
"""The soonest that Telegram ends a login that is not used (account.setAuthorizationTTL)."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Make every check; each finding comes as soon as it is made."""
    yield from _safely("python", _python)
    yield from _safely("packages", _packages)
    yield from _safely("settings", lambda: _settings(settings))
    yield from _safely("home", lambda: check_home(settings))
    yield from _safely("limits", lambda: _limits(settings))
    yield from _safely("keys", lambda: _keys(settings))
    yield from _safely("database", lambda: _database(settings))
    yield from _safely("redis", lambda: check_redis(settings))


def _safely(area: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except AfxError as error:
        yield Finding(area, "fail", str(error))
    except Exception as error:
        # A check that breaks must not keep the others from being made.
        yield Finding(
            area,
            "fail",
            f"the check broke: {type(error).__name__}: {error}",
            "report this, with the output of 'afx --debug doctor'",
        )


def _python() -> Iterator[Finding]:
    version = ".".join(str(it) for it in sys.version_info[:3])
    yield Finding("python", "ok", f"Python {version}")


def _packages() -> Iterator[Finding]:
    bad = 0
    for line in metadata.requires("afx") or []:
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9.]+)$", line)
        if not found:
            continue  # of an extra
        name, least = found[1], found[2]
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            bad += 1
            yield Finding("packages", "fail", f"{name} is missing", f"pip install '{line}'")
            continue
        if version_numbers(installed) < version_numbers(least):
            bad += 1
            yield Finding(
                "packages",
                "fail",
                f"{name} {installed} is older than {least}",
                f"pip install '{line}'",
            )
    owners = metadata.packages_distributions()
    for package in _OURS:
        others = set(owners.get(package, ())) - {"afx"}
        if others:
            bad += 1
            yield Finding(
                "packages",
                "fail",
                f"{', '.join(sorted(others))} installs a package '{package}' too",
                "uninstall it, or give afx a virtual environment of its own",
            )
    if not bad:
        yield Finding("packages", "ok", f"afx {metadata.version('afx')} and all that it needs")


def _settings(settings: Settings) -> Iterator[Finding]:
    path = config_file()
    yield Finding("settings", "ok", f"{path or 'no file'}; home {settings.home}")
    if not settings.api_id and not (settings.home / "sandbox.json").exists():
        yield Finding(
            "settings",
            "warn",
            "AFX_API_ID and AFX_API_HASH are not set",
            "get both at https://my.telegram.org; worker nodes need them",
        )
    if settings.hibernate_wake_days >= _LOGIN_DAYS:
        yield Finding(
            "settings",
            "warn",
            f"sessions without a rule wake after {settings.hibernate_wake_days:g} days only; "
            f"Telegram may end a login that is not used for {_LOGIN_DAYS:g}",
            "lower hibernate_wake_days, unless all accounts keep unused logins for longer",
        )


def _limits(settings: Settings) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_sessions + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield Finding(
            "limits",
            "warn",
            f"at most {hard} open files, for {settings.max_sessions} sessions",
            f"raise it (LimitNOFILE={needed} in the service unit), or lower max_sessions",
        )
    else:
        yield Finding("limits", "ok", f"open files: {soft} now, {hard} at most")
    _rss, free, limit, _cpu = Resources(0, os.getpid(), settings.ram_limit_mib * _MIB).sample()
    headroom = max(settings.ram_headroom_mib * _MIB, int(settings.ram_headroom_share * limit))
    text = f"{free // _MIB} of {limit // _MIB} MiB RAM are free"
    if free <= headroom:
        yield Finding(
            "limits",
            "warn",
            f"{text}, all of it within the headroom of {headroom // _MIB} MiB",
            "a node here would get no session: free some, or lower ram_headroom_mib",
        )
    else:
        yield Finding("limits", "ok", text)


def _keys(settings: Settings) -> Iterator[Finding]:
    secret = settings.secret_key.get_secret_value()
    path = settings.home / KEY_FILE
    if not secret and not path.exists():
        yield Finding(
            "keys",
            "warn",
            "there is no secret key yet",
            "the first command that needs one makes it; on further hosts set AFX_SECRET_KEY to it",
        )
        return
    keys = read_keys(settings.home, secret, create=False)
    if not secret and path.stat().st_mode & 0o077:
        yield Finding("keys", "fail", f"{path} may be read by others", f"chmod 600 {path}")
        return
    yield Finding("keys", "ok", f"{len(keys)} from {'AFX_SECRET_KEY' if secret else path}")


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.database
    if url.startswith("sqlite:"):
        path = Path(urlsplit(url).path.replace("//", "/", 1))
        if not path.exists():
            yield Finding(
                "database", "warn", f"{path} does not exist yet", "'afx db upgrade' makes it"
            )
            return
        space = shutil.disk_usage(path.parent).free
        grade: Grade = "ok" if space > _LEAST_SPACE else "warn"
        yield Finding(
            "database",
            grade,
            f"{path}: {path.stat().st_size // _MIB} MiB, {space // _MIB} MiB free on its disk",
            "" if grade == "ok" else "make room: a full disk stops the coordinator",
        )
    base.open_database(url)
    try:
        missing = schema.pending()
        if missing:
            yield Finding(
                "database", "fail", f"it lacks {', '.join(missing)}", "run 'afx db upgrade'"
            )
            return
        schema.check()
        with base.transaction(keep=False):
            base.execute("UPDATE cluster_state SET id = id")
        yield Finding("database", "ok", "the schema is this version's, and it can be written")
        yield from _login_opens(settings)
        yield from check_webhooks()
        if base.is_postgres():
            there = float(base.execute("SELECT EXTRACT(EPOCH FROM now())").fetchone()[0])
            yield from check_clock("Postgres", there)
    finally:
        base.close_database()


def _login_opens(settings: Settings) -> Iterator[Finding]:
    newest = sessions.newest_login()
    if newest is None:
        return
    session_id, sealed = newest
    keys = read_keys(settings.home, settings.secret_key.get_secret_value(), create=False)
    Vault(keys).open(sealed, session_id=session_id)
    yield Finding("keys", "ok", "the stored logins open with it")
