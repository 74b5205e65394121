"""Settings: ``afx.toml``, then ``AFX_*`` variables, then flags.

The file is ``$AFX_CONFIG``, else ``./afx.toml``, else ``$AFX_HOME/afx.toml``.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from afx import bounded_toml
from afx.config_mistakes import in_words, sentence, unknown_variables
from afx.errors import ConfigError, printable
from afx.lease import PROFILES, LeaseProfile, check_profile
from afx.node_settings import NodeSettings
from afx.probe_address import parse_address
from afx.process_names import MOST_PROCESSES
from afx.security.keyfile import split_keys
from afx.security.login_servers import LoginServers, parse_networks

_OTHER_VARIABLES = (
    "AFX_CONFIG",
    "AFX_DEBUG",
    "AFX_PYTHON",
    "AFX_SCHEDULES",
    "AFX_SEED",
    "AFX_BROWSER",
    "AFX_RULE",
)
"""Variables that are no settings: the file's path, tracebacks, and those of scripts and tests."""
_PREFIX = "afx_"
_LARGEST_FILE = 256 * 1024
_OTHERS_WRITE = 0o022
_LONGEST_SHOWN = 200


def default_home() -> Path:
    """Return the home directory when no setting names one."""
    return Path(os.environ.get("AFX_HOME") or platformdirs.user_data_path("afx"))


class Settings(BaseModel):
    """All settings, each with its default and unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    home: Path = Field(default_factory=default_home)
    """The directory of all files of afx."""
    redis_url: str = ""
    """Empty: a private Redis under ``home``, started when needed."""
    database_url: str = ""
    """``sqlite:///PATH`` or ``postgresql://…``; empty: SQLite under ``home``."""
    secret_key: SecretStr = SecretStr("")
    """Fernet keys, newest first, comma-separated; empty: ``home/secret.key``."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""

    api_id: int = Field(0, ge=0, lt=2**31)
    """From the application at my.telegram.org; worker nodes and logins need it."""
    api_hash: SecretStr = SecretStr("")
    """Belongs to ``api_id``."""

    test_networks: str = ""
    """Networks of test servers that logins may name beside Telegram's, comma-separated."""

    lease_profile: Literal["fast", "safe"] = "fast"
    """How soon a silent node is replaced: after at most 5.3 s (fast) or 12.3 s (safe)."""
    heartbeat_seconds: float = Field(0.5, gt=0)
    """How often a node renews its lease."""
    tick_seconds: float = Field(0.1, gt=0)
    """The longest time that the coordinator waits for reports before its next tick."""
    leader_ttl_seconds: float = Field(5.0, gt=0)
    """How long a standby waits after the leader has died."""
    leader_stop_seconds: float = Field(3.0, gt=0)
    """A leader that could not renew its lock for so long stops."""
    tick_limit_seconds: float = Field(8.0, ge=4)
    """A leader whose tick takes longer loses its leadership; SQL has half of it for a statement."""
    host_stall_seconds: float = Field(10.0, gt=0)
    """A host process whose loop stands still for so long is replaced."""
    answer_seconds: float = Field(30.0, gt=0)
    """A node that sends heartbeats but answers no order for so long restarts."""
    cool_down_seconds: float = Field(0.2, ge=0)
    """The time between a session's end and its next start, in which the last writes arrive."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of a worker node (region, kind, …); sessions may require them."""
    task_slots: int = Field(100, ge=4, le=5000)
    """How many tasks one node runs at once."""
    max_sessions: int = Field(5000, ge=1)
    """How many sessions one node may run."""
    ram_limit_mib: int = Field(0, ge=0)
    """How much RAM one node may use; 0: all of the host or its cgroup."""
    processes: int = Field(1, ge=0, le=MOST_PROCESSES)
    """How many host processes one node has, which share its limits; 0: one for each core."""
    ram_headroom_mib: int = Field(512, ge=0)
    """RAM of a node that no session is placed on."""
    ram_headroom_share: float = Field(0.1, ge=0, lt=1)
    """The same as a share of the node's RAM; the larger of the two counts."""
    ram_replace_factor: float = Field(1.5, ge=0)
    """A host that uses so many times the RAM that its sessions need is replaced; 0: never."""
    ram_growth_hours: float = Field(6.0, ge=0)
    """So is a host whose growth fills it within so many hours; 0: never."""
    premium_headroom_share: float = Field(0.05, ge=0, lt=1)
    """The share of a node's RAM that is reserved for sessions of premium users."""
    preemptions_per_minute: int = Field(20, ge=0)
    """How many free sessions may be preempted by premium ones; 0: none."""
    preemption_rest_minutes: float = Field(30.0, gt=0)
    """How long a session that was preempted or rebalanced is not moved again."""
    brake_hold_seconds: float = Field(30.0, ge=0)
    """How long nothing is placed after most nodes were lost at once; 0: no brake."""
    rebalance_seconds: float = Field(60.0, ge=0)
    """How often sessions are rebalanced over the nodes; 0: only by command."""
    scale_min_nodes: int = Field(1, ge=1)
    """The fewest nodes that are recommended."""
    scale_max_nodes: int = Field(0, ge=0)
    """The most nodes that are recommended; 0: no limit."""
    scale_spare_nodes: int = Field(1, ge=0)
    """How many nodes are recommended beyond what the sessions need."""
    scale_step_nodes: int = Field(2, ge=1)
    """How many nodes more are recommended within 5 minutes; or half as many as there are."""
    scale_overflow_seconds: float = Field(15.0, ge=1)
    """Sessions that have waited for room for so long ask for nodes."""
    scale_in_minutes: float = Field(10.0, gt=0)
    """Fewer nodes are recommended only when they have sufficed for so long."""
    session_kib: int = Field(256, ge=1)
    """The assumed RAM of a session before it was measured."""
    starts_per_second: float = Field(30.0, gt=0)
    """How many sessions a node is given per second on average."""
    start_burst: int = Field(40, ge=1)
    """How many sessions a node is given at once."""
    start_timeout_seconds: float = Field(30.0, gt=0)
    """A session that has not started after so long has failed."""

    hibernate_poll_minutes: float = Field(15.0, gt=0)
    """A session that hibernates wakes at least this often, to catch up."""
    hibernate_wake_days: float = Field(5.0, gt=0, le=180)
    """Any session wakes this often, or sooner: Telegram ends logins that are not used."""
    hibernate_fresh_hours: float = Field(24.0, ge=0)
    """A session that was added since, or signed in again, does not hibernate."""
    new_account_days: float = Field(7.0, ge=0, le=60)
    """An account that was signed in sends and joins less for so long; 0: never."""
    hibernate_unused_minutes: float = Field(60.0, ge=0)
    """A session without an enabled rule hibernates after so long; 0: never."""
    hibernate_after_minutes: float = Field(0.0, ge=0)
    """On a node that is short of RAM, a session that has forwarded nothing for so long; 0: none."""

    poll_seconds: float = Field(60.0, gt=0)
    """How often a quiet source channel is polled for missed messages."""
    flush_seconds: float = Field(0.1, gt=0)
    """How often cursors and links are written to Redis."""
    link_days: int = Field(30, ge=1)
    """How long edits and deletions of a message are applied to its copies."""
    sample_seconds: float = Field(5.0, gt=0)
    """How often the metrics of nodes are stored."""
    analytics_raw_hours: float = Field(6.0, gt=0)
    """How long samples are stored."""
    analytics_minute_days: float = Field(14.0, gt=0)
    """How long the samples per minute are stored."""
    analytics_hour_days: float = Field(400.0, gt=0)
    """How long the samples per hour are stored."""
    history_days: float = Field(90.0, gt=0)
    """How long ended assignments, finished tasks and controls are stored."""
    dead_letter_days: float = Field(90.0, gt=0)
    """How long a dead letter is kept that is neither retried nor dropped."""
    web_host: str = Field("127.0.0.1", min_length=1)
    """The address at which the API and the dashboard listen; by default this machine only."""
    web_port: int = Field(8720, ge=0, lt=65536)
    """Their port; 0: any that is free."""
    web_certificate: str = ""
    """The file of a TLS certificate chain; empty: no TLS."""
    web_certificate_key: str = ""
    """The file of the certificate's key."""
    web_requests_per_second: float = Field(500.0, ge=0)
    """How many requests one token may make; twice as many at once; 0: no limit."""
    web_workers: int = Field(1, ge=1, le=64)
    """How many processes serve the API at one address; each has rate limits of its own."""
    metrics_address: str = ""
    """Where coordinators and nodes answer /metrics, /healthz and /readyz, as HOST:PORT, or as
    HOST:FIRST-LAST for several processes of one machine; empty: nowhere. Nobody signs in there."""
    webhook_networks: str = ""
    """Networks to which webhooks may lead beside public addresses, comma-separated."""
    output_directory: str = ""
    """Where nodes may write what rules send to files and feeds; empty: nowhere."""
    webhook_suspend_hours: float = Field(72.0, gt=0)
    """A webhook to which nothing could be delivered for so long is suspended."""
    job_ttl_seconds: float = Field(60.0, gt=0)
    """An order that no node has read after so long is void."""

    def __init__(self, **flags: Any) -> None:
        """Read the settings: flags win over the environment, which wins over the file."""
        # The library pydantic-settings would do this; its import takes longer than a query.
        path = config_file()
        found = read_settings_file(path) if path else {}
        in_environment = {name: os.environ[it] for name, it in variables().items()}
        for given in (in_environment, flags):
            found = found | {name: _merged(found.get(name), it) for name, it in given.items()}
        super().__init__(**found)

    @field_validator("labels", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('it must be a JSON object such as {"region": "eu"}') from None

    @field_validator("secret_key")
    @classmethod
    def _secret_key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not split_keys(value.get_secret_value()):
            raise ValueError(
                "it must be one or more Fernet keys (32 bytes in base64), separated by commas"
            )
        return value

    @field_validator("test_networks", "webhook_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        try:
            parse_networks(value)
        except ValueError:
            raise ValueError("it must be networks such as 10.1.2.0/24, comma-separated") from None
        return value

    @field_validator("metrics_address")
    @classmethod
    def _metrics_address(cls, value: str) -> str:
        if value:
            parse_address(value)
        return value

    @model_validator(mode="after")
    def _relations(self) -> Settings:
        mistakes = []
        try:
            check_profile(self.lease, self.heartbeat_seconds)
        except ValueError as error:
            mistakes.append(f"heartbeat_seconds: {error}")
        if self.leader_stop_seconds >= self.leader_ttl_seconds:
            mistakes.append("leader_stop_seconds: it must be less than leader_ttl_seconds")
        if 0 < self.scale_max_nodes < self.scale_min_nodes:
            mistakes.append("scale_max_nodes: it must not be less than scale_min_nodes")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def for_node(self) -> NodeSettings:
        """Return what the processes of a node need of them."""
        plain = {it.name: getattr(self, it.name) for it in fields(NodeSettings)}
        secrets = {k: it.get_secret_value() for k, it in plain.items() if isinstance(it, SecretStr)}
        return NodeSettings(**plain | secrets)

    @property
    def lease(self) -> LeaseProfile:
        """The times of the chosen lease profile."""
        return PROFILES[self.lease_profile]

    @cached_property
    def login_servers(self) -> LoginServers:
        """The servers to which logins may lead."""
        return LoginServers(self.home, parse_networks(self.test_networks))

    @cached_property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'afx.db'}"


def variables() -> dict[str, str]:
    """Return the variables that give settings, by setting; the case of a variable is free."""
    given = {name.lower(): name for name in os.environ}
    names = {f"{_PREFIX}{it}": it for it in Settings.model_fields}
    return {name: given[variable] for variable, name in names.items() if variable in given}


def _named(found: dict[str, Any]) -> dict[str, Any]:
    """Return what a file says under the settings' own names; a second one of a setting is none."""
    known = Settings.model_fields.keys() - found.keys()
    return {name.lower() if name.lower() in known else name: it for name, it in found.items()}


def _merged(below: Any, above: Any) -> Any:
    """Return a setting that two places give: of two tables, what either has."""
    return below | above if isinstance(below, dict) and isinstance(above, dict) else above


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return what a settings file says; the case of a setting's name is free.

    Raises ConfigError for what cannot be read as TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > _LARGEST_FILE:
        raise ConfigError(
            f"The settings file {path} has more than {_LARGEST_FILE // 1024} KiB; shorten it."
        )
    try:
        return _named(bounded_toml.loads(data.decode()))
    except UnicodeDecodeError as error:
        raise ConfigError(f"The settings file {path} is not UTF-8; save it as UTF-8.") from error
    except bounded_toml.TomlDepthError as error:
        raise ConfigError(f"The settings file {path} is nested too deeply; correct it.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The settings file {path} is not TOML: {error}.") from error


def config_file() -> Path | None:
    """Return the settings file in force, or None.

    A file that no variable names is trusted only when no other user can have written it.
    Raises ConfigError otherwise.
    """
    named = os.environ.get("AFX_CONFIG")
    if named:
        if not _is_file(Path(named)):
            raise ConfigError(
                f"AFX_CONFIG names {_shown(named)}, which is no file; correct or unset it."
            )
        return Path(named)
    for path in (Path("afx.toml"), default_home() / "afx.toml"):
        if _is_file(path):
            _check_trusted(path)
            return path
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"The settings file {_shown(path)} cannot be read ({os.strerror(error.errno or 0)}); "
        "correct its mode, or the path."
    )


def _shown(path: str | Path) -> str:
    return printable(str(path), longest=_LONGEST_SHOWN)


def _check_trusted(path: Path) -> None:
    """Check owner and mode of a settings file, of the link to it, and of its directory."""
    trusted = (0, os.geteuid())
    try:
        link, file, directory = path.lstat(), path.stat(), path.absolute().parent.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    if link.st_uid not in trusted or file.st_uid not in trusted:
        problem = "belongs to another user"
    elif file.st_mode & _OTHERS_WRITE:
        problem = "may be written by other users"
    elif directory.st_mode & _OTHERS_WRITE and not directory.st_mode & stat.S_ISVTX:
        problem = "lies in a directory in which other users may replace it"
    else:
        return
    raise ConfigError(
        f"The settings file {path.absolute()} {problem}, so it is not trusted; correct owner and "
        "mode ('chmod go-w'), or name it with AFX_CONFIG."
    )


def load(**flags: Any) -> Settings:
    """Read the settings; flags that are None count as not given.

    Raises ConfigError that names every setting that is wrong, and every ``AFX_…``
    variable that is no setting. Creates nothing.
    """
    names = list(Settings.model_fields)
    mistakes = unknown_variables(os.environ, names, _OTHER_VARIABLES)
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        mistakes += [line for it in error.errors() for line in in_words(it, names)]
        raise ConfigError(sentence(mistakes)) from error
    if mistakes:
        raise ConfigError(sentence(mistakes))
    return settings


def make_home(home: Path) -> None:
    """Create the home directory if it is missing, for its owner only."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The home directory {home} cannot be created ({error.strerror}); set AFX_HOME."
        ) from error
