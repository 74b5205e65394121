"""This installation as the API shows it: settings in force, and what the doctor finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from afx import config_text
from afx.errors import AfxError
from afx.operations.context import Context, operation
from afx.operations.findings import Finding

_DOCTOR_SECONDS = 60.0


@operation("config:read", database=False)
def settings(context: Context) -> list[dict[str, Any]]:
    """Return every setting: its name, value, source and meaning; secrets are hidden."""
    return config_text.described(context.settings)


@operation("doctor:read", database=False)
def examine(context: Context) -> tuple[Finding, ...]:
    """Return what the doctor finds.

    It runs in a process of its own: it opens and closes the database, which this process
    is using. Raises AfxError when it does not end in time.
    """
    chosen = context.settings
    environment = {**os.environ, "AFX_HOME": str(chosen.home), "AFX_DATABASE_URL": chosen.database}
    if chosen.redis_url:
        environment["AFX_REDIS_URL"] = chosen.redis_url
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "doctor", "--json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DOCTOR_SECONDS,
            check=False,
        )
        return tuple(Finding(**it) for it in json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError, TypeError, OSError) as error:
        raise AfxError(
            "The doctor gave no answer; run 'afx doctor' on the machine of the API."
        ) from error
