"""Settings as text: what is in force and from where, and a file with every default."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from afx import config
from afx.config import Settings
from afx.urls import without_password


def described(settings: Settings) -> list[dict[str, Any]]:
    """Return every setting: its name, value, source and meaning; secrets hidden."""
    path = config.config_file()
    in_file = config.read_settings_file(path) if path else {}
    variables = config.variables()
    docs = _docs()
    found = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = "…" if value.get_secret_value() else ""
        source = variables.get(name) or (str(path) if name in in_file else "default")
        found.append(
            {
                "name": name,
                "value": without_password(value) if isinstance(value, str) else value,
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


def _docs() -> dict[str, str]:
    """Return what afx/config.py says of each setting, in the text below it."""
    found: dict[str, str] = {}
    name = ""
    [body] = [
        it.body
        for it in ast.parse(Path(config.__file__).read_text()).body
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
