"""afx config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import common, groups, output

app = groups.group("Settings: what is in force, and from where.")


@app.command()
def show(json: common.Json = False) -> None:
    """Show every setting, its value and where it comes from; secrets are hidden.

    Example:  afx config show
    """
    from afx.config_text import described

    found = described(common.settings())
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("SETTING", "VALUE", "FROM", "WHAT"),
        ((it["name"], it["value"], it["source"], it["what"]) for it in found),
        empty="",
    )


@app.command()
def check(json: common.Json = False) -> None:
    """Check the settings: their kinds, their bounds, how they fit together, the key.

    Every mistake is named, also a variable AFX_… that is no setting.

    Example:  afx config check
    """
    from afx.app import check_key
    from afx.config import config_file

    check_key(common.settings())
    path = config_file()
    if json:
        output.print_json({"ok": True, "file": str(path) if path else None})
    else:
        print(f"the settings are valid ({path or 'no file'})")


@app.command()
def init(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it [default: afx.toml in the home].")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a settings file with every setting, commented out, at its default.

    Example:  afx config init ./afx.toml
    """
    from afx.config import make_home
    from afx.config_text import template
    from afx.errors import AfxError, UsageError

    path = file or common.settings().home / "afx.toml"
    if file is None:
        make_home(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        # Secrets may be written into it later: only its owner may read it.
        with os.fdopen(os.open(path, flags, 0o600), "w") as opened:
            opened.write(template())
    except FileExistsError as error:
        raise UsageError(f"{path} exists; give --overwrite to replace it.") from error
    except OSError as error:
        raise AfxError(f"{path} cannot be written ({error.strerror}).") from error
    print(f"written: {path}")
