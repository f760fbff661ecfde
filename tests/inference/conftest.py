"""What several tests of the engines need."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def built_terms():
    """`benchmarks/built_terms.py`, which builds models by hand."""
    path = Path(__file__).parents[2] / "benchmarks" / "built_terms.py"
    spec = importlib.util.spec_from_file_location("built_terms", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
