"""Specs as files."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Write a spec into a file of its own."""

    def write_file(content, name="analysis.toml"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file
