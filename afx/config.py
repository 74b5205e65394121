"""Settings: ``afx.toml``, then ``AFX_*`` variables, then flags.

The file is ``$AFX_CONFIG``, else ``./afx.toml``, else ``$AFX_HOME/afx.toml``.
"""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from afx.errors import ConfigError
from afx.lease import PROFILES, LeaseProfile, check_profile


def default_home() -> Path:
    """Return where afx keeps its files when nothing else is said."""
    return Path(os.environ.get("AFX_HOME") or platformdirs.user_data_path("afx"))


class Settings(BaseSettings):
    """All settings, each with its default and unit."""

    model_config = SettingsConfigDict(env_prefix="AFX_", extra="forbid", frozen=True)

    home: Path = Field(default_factory=default_home)
    """Where afx keeps its files."""
    redis_url: str = ""
    """Empty: a private Redis under ``home``, started when needed."""
    database_url: str = ""
    """``sqlite:///PATH`` or ``postgresql://…``; empty: SQLite under ``home``."""
    secret_key: SecretStr = SecretStr("")
    """Fernet keys, newest first, comma-separated; empty: ``home/secret.key``."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""

    api_id: int = 0
    """Of the application at my.telegram.org; worker nodes and logins need it."""
    api_hash: SecretStr = SecretStr("")
    """Belongs to ``api_id``."""

    lease_profile: Literal["fast", "safe"] = "fast"
    """How soon a silent node is replaced: after 5.3 s (fast) or 12.3 s (safe) at most."""
    heartbeat_seconds: float = Field(0.5, gt=0)
    """How often a node renews its lease."""
    tick_seconds: float = Field(0.1, gt=0)
    """How long the coordinator waits for news at most, before it looks around."""
    leader_ttl_seconds: float = Field(5.0, gt=0)
    """How long a leader that died keeps standbys waiting."""
    leader_stop_seconds: float = Field(3.0, gt=0)
    """After so long without renewal a leader stops by itself."""
    host_stall_seconds: float = Field(10.0, gt=0)
    """A host process that stands still for so long is replaced."""
    answer_seconds: float = Field(30.0, gt=0)
    """A node that lives and has not answered an order for so long begins anew."""
    cool_down_seconds: float = Field(0.2, ge=0)
    """Between a session's end and its next start: what is under way arrives first."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Of a worker node: its region, kind, …; sessions may require them."""
    max_sessions: int = Field(5000, ge=1)
    """How many sessions one node may run."""
    ram_limit_mib: int = Field(0, ge=0)
    """What one node may use; 0: all that the host or its cgroup has."""
    ram_headroom_mib: int = Field(512, ge=0)
    """RAM of a node that is never promised to sessions."""
    ram_headroom_share: float = Field(0.1, ge=0, lt=1)
    """The same as a share of its RAM; the larger of the two counts."""
    premium_headroom_share: float = Field(0.05, ge=0, lt=1)
    """Share of a node's RAM that only premium users' sessions may take."""
    preemptions_per_minute: int = Field(20, ge=0)
    """How many free sessions may be made to wait for premium ones; 0: none."""
    preemption_rest_minutes: float = Field(30.0, gt=0)
    """A session that was preempted or moved to even nodes out is left alone so long."""
    brake_hold_seconds: float = Field(30.0, ge=0)
    """How long nothing is placed when most nodes were lost at once; 0: no brake."""
    rebalance_seconds: float = Field(60.0, ge=0)
    """How often nodes are evened out; 0: never by itself."""
    session_kib: int = Field(256, ge=1)
    """Assumed RAM of a session of which nothing is known yet."""
    starts_per_second: float = Field(30.0, gt=0)
    """How many sessions a node is given a second, in the long run."""
    start_burst: int = Field(40, ge=1)
    """How many it is given at once."""
    start_timeout_seconds: float = Field(30.0, gt=0)
    """A session that takes longer to start has failed."""

    poll_seconds: float = Field(60.0, gt=0)
    """How often a quiet source channel is asked for missed messages."""
    flush_seconds: float = Field(0.1, gt=0)
    """How often cursors and links go to Redis."""
    link_days: int = Field(30, ge=1)
    """How long edits and deletions of a message reach its copies."""
    sample_seconds: float = Field(5.0, gt=0)
    """How often nodes' metrics are written down."""
    analytics_raw_hours: float = Field(6.0, gt=0)
    """How long samples are kept."""
    analytics_minute_days: float = Field(14.0, gt=0)
    """How long their roll-ups by the minute are kept."""
    analytics_hour_days: float = Field(400.0, gt=0)
    """How long their roll-ups by the hour are kept."""
    history_days: float = Field(90.0, gt=0)
    """How long ended assignments, finished tasks and controls are kept."""
    job_ttl_seconds: float = Field(60.0, gt=0)
    """After so long an order that no node has read is void."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags win over the environment, which wins over the file."""
        del dotenv_settings, file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls, config_file())
        return init_settings, env_settings, toml

    @model_validator(mode="after")
    def _relations(self) -> Settings:
        check_profile(self.lease, self.heartbeat_seconds)
        if self.leader_stop_seconds >= self.leader_ttl_seconds:
            raise ValueError("leader_stop_seconds must be less than leader_ttl_seconds")
        return self

    @property
    def lease(self) -> LeaseProfile:
        """The times of the chosen lease profile."""
        return PROFILES[self.lease_profile]

    @cached_property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'afx.db'}"


def config_file() -> Path | None:
    """Return the settings file in force, or None."""
    named = os.environ.get("AFX_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"AFX_CONFIG names {named}, which is no file; correct or unset it.")
        return Path(named)
    for path in (Path("afx.toml"), default_home() / "afx.toml"):
        if path.is_file():
            return path
    return None


def described(settings: Settings) -> list[dict[str, Any]]:
    """Return every setting: its name, value, source and meaning; secrets hidden."""
    path = config_file()
    in_file = tomllib.loads(path.read_text()) if path else {}
    docs = _docs()
    found = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = "…" if value.get_secret_value() else ""
        if f"AFX_{name.upper()}" in os.environ:
            source = f"AFX_{name.upper()}"
        else:
            source = str(path) if name in in_file else "default"
        found.append(
            {
                "name": name,
                "value": shown_url(value) if isinstance(value, str) else value,
                "source": source,
                "what": docs.get(name, ""),
            }
        )
    return found


def template() -> str:
    """Return a settings file with every setting, commented out, at its default."""
    lines = ["# Settings of afx. AFX_… variables win over this file, flags over both.", ""]
    docs = _docs()
    for name, field in Settings.model_fields.items():
        if name in docs:
            lines.append(f"# {docs[name]}")
        value = field.get_default(call_default_factory=True)
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        # What JSON writes of texts and numbers is TOML too.
        text = json.dumps(str(value) if isinstance(value, Path) else value)
        lines += [f"#{name} = {text}", ""]
    return "\n".join(lines)


def shown_url(text: str) -> str:
    """Return a text with the password of a URL in it left out."""
    return re.sub(r"(://[^/\s:@]*):[^/\s@]*@", r"\1:…@", text)


def _docs() -> dict[str, str]:
    """Return what this file says of each setting, from the text below it."""
    found: dict[str, str] = {}
    name = ""
    [body] = [
        it.body
        for it in ast.parse(Path(__file__).read_text()).body
        if isinstance(it, ast.ClassDef) and it.name == "Settings"
    ]
    for it in body:
        if isinstance(it, ast.AnnAssign) and isinstance(it.target, ast.Name):
            name = it.target.id
        elif isinstance(it, ast.Expr) and isinstance(it.value, ast.Constant) and name:
            found[name] = " ".join(str(it.value.value).split()).replace("``", "")
        else:
            name = ""
    return found


def load(**flags: Any) -> Settings:
    """Read the settings; flags that are None count as not given.

    Raises ConfigError naming the first setting that is wrong. Creates nothing.
    """
    # AFX_CONFIG is the file's own variable, not a setting.
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"There is no setting '{name}'; docs/operate.md tells where all are listed."
            ) from error
        raise ConfigError(f"Setting '{name}': {first['msg']}; correct it and try again.") from error
    except ValueError as error:
        raise ConfigError(f"The settings file cannot be read: {error}.") from error
    return settings


def make_home(home: Path) -> None:
    """Create the home directory if it is missing, for its owner only."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The home directory {home} cannot be created ({error.strerror}); set AFX_HOME."
        ) from error
