"""A working folder with what is changed for the worse."""

from pathlib import Path

import pytest
from bad_input import SPEC, table


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a right spec and a right cohort."""
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC, encoding="utf-8")
    table().to_csv("cohort.csv", index=False)
    return tmp_path
