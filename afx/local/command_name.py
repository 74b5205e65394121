"""How to call `afx` from the shell that started this process."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def command_name(
    *, program: str | None = None, executable: str | None = None, path: str | None = None
) -> str:
    """Return ``afx`` when PATH leads to this installation, else the path of its script.

    The arguments replace ``sys.argv[0]``, ``sys.executable`` and PATH.
    """
    python = Path(executable or sys.executable)
    candidates = (Path(program or sys.argv[0]), python.with_name("afx"))
    script = next((it for it in candidates if it.name == "afx" and it.is_file()), None)
    if script is None:
        return f"{shlex.quote(str(python))} -m cli.main"
    found = shutil.which("afx", path=path)
    if found and Path(found).samefile(script):
        return "afx"
    return shlex.quote(_short(script))


def _short(script: Path) -> str:
    """Return a path relative to the working directory when it is below it."""
    absolute = script if script.is_absolute() else Path.cwd() / script
    relative = os.path.relpath(absolute)
    return str(absolute) if relative.startswith("..") else relative
