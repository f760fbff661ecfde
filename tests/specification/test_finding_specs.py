"""Specs by name: the user's own, those of the package, and the data that they name."""

from pathlib import Path

import pytest
from spec_files import MINIMAL

from bayes_crlm import read_spec
from bayes_crlm.specification import reading as spec_reading
from bayes_crlm.specification.spec import available_specs
from bayes_crlm.words.errors import SpecError


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of two specs in place of the package's own, away from the working folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name, title in (("os_repeat_local", "First"), ("pfs_early", "Second")):
        (folder / f"{name}.toml").write_text(MINIMAL.replace("Overall survival", title))
    monkeypatch.setattr(spec_reading, "models_folder", lambda: folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return folder


def test_a_spec_is_found_by_its_name_with_and_without_ending(models):
    for name in ("os_repeat_local", "os_repeat_local.toml"):
        spec = read_spec(name)
        assert spec.path == models / "os_repeat_local.toml"
        assert spec.name == "os_repeat_local"


def test_a_file_goes_before_a_name_and_a_name_before_a_folder(models):
    Path("pfs_early").mkdir()
    assert read_spec("pfs_early").title == "Second"
    Path("pfs_early.toml").write_text(MINIMAL.replace("Overall survival", "Mine"))
    assert read_spec("pfs_early.toml").title == "Mine"


def test_an_unknown_name_suggests_the_nearest(models):
    with pytest.raises(SpecError, match="did you mean 'os_repeat_local'"):
        read_spec("os_repeat_locl")
    with pytest.raises(SpecError, match="there are 'os_repeat_local', 'pfs_early'"):
        read_spec("zzz")


def test_specs_are_listed_with_their_titles(models):
    assert available_specs() == [
        ("os_repeat_local", "First", models / "os_repeat_local.toml"),
        ("pfs_early", "Second", models / "pfs_early.toml"),
    ]


def test_every_spec_of_the_package_is_valid_and_named_after_its_file():
    listed = available_specs()
    assert [name for name, _, _ in listed] == sorted(path.stem for _, _, path in listed)
    for name, title, path in listed:
        assert read_spec(name).title == title
        assert read_spec(path).path == path


def test_a_data_path_is_relative_to_the_spec(write, tmp_path, monkeypatch):
    spec = read_spec(write(MINIMAL))
    monkeypatch.chdir("/")
    assert spec.data_path() == tmp_path / "cohort.csv"
    absolute = read_spec(write(MINIMAL.replace("cohort.csv", "/data/../data/a.csv")))
    assert absolute.data_path() == Path("/data/a.csv")


def test_a_data_set_is_known_by_name_unless_a_file_has_that_name(write, tmp_path):
    spec = read_spec(write(MINIMAL.replace("cohort.csv", "crlm-synthetic")))
    assert spec.data_path() == "crlm-synthetic"
    (tmp_path / "crlm-synthetic").write_text("a file")
    assert spec.data_path() == tmp_path / "crlm-synthetic"
