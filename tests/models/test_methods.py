"""Every method of the data layer is documented, typed and tested."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

from models import storage

TESTS = "".join(it.read_text() for it in Path(__file__).parent.glob("test_*.py"))
METHODS = [
    (module.name, name, function)
    for module in pkgutil.iter_modules(storage.__path__)
    for name, function in vars(import_module(f"models.storage.{module.name}")).items()
    if inspect.isfunction(function)
    and not name.startswith("_")
    and function.__module__ == f"models.storage.{module.name}"
]


@pytest.mark.parametrize(
    ("module", "name", "function"), METHODS, ids=[f"{it[0]}.{it[1]}" for it in METHODS]
)
def test_a_method_is_documented_typed_and_tested(module: str, name: str, function: object) -> None:
    assert f"{module}.{name}" in TESTS, "no test calls it"
    assert inspect.getdoc(function)
    signature = inspect.signature(function)  # type: ignore[arg-type]
    assert signature.return_annotation is not inspect.Signature.empty


def test_there_are_as_many_tables_as_the_customer_asked_for() -> None:
    assert len(METHODS) >= 44
