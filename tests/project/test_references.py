"""What docstrings refer to by its full name is there."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest

PACKAGE = Path(__file__).parents[2] / "bayes_crlm"
FULL_NAME = re.compile(r"`(bayes_crlm\.[\w.]+)`")


def is_there(name):
    """Whether a module, or something in one, has the name; fields of records are named too."""
    owner, _, last = name.rpartition(".")
    for each in (name, owner):
        try:
            found = resolve_name(each)
        except (ImportError, AttributeError):
            continue
        return each == name or last in getattr(found, "__dataclass_fields__", ())
    return False


@pytest.mark.parametrize("folder", sorted(each.name for each in PACKAGE.iterdir() if each.is_dir()))
def test_names_in_docstrings_are_there(folder):
    named = {
        name
        for path in (PACKAGE / folder).rglob("*.py")
        for name in FULL_NAME.findall(path.read_text(encoding="utf-8"))
    }
    assert [name for name in sorted(named) if not is_there(name)] == []


def test_a_name_that_is_not_there_is_found():
    assert is_there("bayes_crlm.fit.diagnostics.Diagnostics.elpd_loo")
    assert import_module("bayes_crlm.report.folder")
    assert not is_there("bayes_crlm.report.folder.check_output")
