"""No module and no function is so long that nobody reads it to its end."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def count_lines(monkeypatch):
    spec = importlib.util.spec_from_file_location(
        "count_lines", ROOT / "scripts" / "count_lines.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda root: monkeypatch.setattr(sys, "argv", ["", str(root)]) or module.main()


def test_no_module_has_more_than_450_lines_and_no_function_more_than_100(count_lines, capsys):
    count_lines(ROOT)
    assert capsys.readouterr().out.endswith("no module and no function is too long\n")


def test_what_is_too_long_is_named(count_lines, capsys, tmp_path):
    (tmp_path / "bayes_crlm").mkdir()
    body = "def f():\n" + "    pass\n" * 100
    (tmp_path / "bayes_crlm" / "long.py").write_text(body + "\n" * 350, encoding="utf-8")
    count_lines(tmp_path)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "module long.py: 451 lines",
        "function long.py:f: 101 lines",
    ]
