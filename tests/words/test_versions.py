"""Versions of installed packages are those that importlib.metadata reads."""

import sys
from importlib.metadata import PackageNotFoundError, distributions, version

import pytest

from bayes_crlm.words.versions import installed_version, versions_in


def test_versions_are_those_of_importlib_metadata():
    names = {each.name for each in distributions()}
    assert {"numpy", "bayes_crlm"} <= names
    assert {name: installed_version(name) for name in names} == {
        name: version(name) for name in names
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path / "not there"), str(tmp_path)])
    return tmp_path


def install(folder, name, number):
    made = folder / f"{name}-{number}.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")


@pytest.mark.parametrize("asked", ["some.package", "Some_Package", "some-package"])
def test_a_package_is_found_however_its_name_is_written(folder, asked):
    install(folder, "some_package", "1.2.post3")
    assert installed_version(asked) == "1.2.post3"


def test_of_two_versions_in_one_folder_importlib_metadata_has_the_last_word(folder):
    install(folder, "several", "1.0")
    install(folder, "several", "2.0")
    assert sorted(versions_in(str(folder))["several"]) == ["1.0", "2.0"]
    assert installed_version("several") == version("several")


def test_a_package_that_is_not_installed_has_no_version(folder):
    assert installed_version("numpy") is None
    with pytest.raises(PackageNotFoundError):
        version("numpy")
