"""Versions of installed packages, read off the folders that their installers wrote."""

import os
import re
import sys
from functools import cache


def installed_version(name: str) -> str | None:
    """Version of an installed package, None where it is not installed as one.

    `importlib.metadata` looks through all folders for each package, and reads the version out of
    a file there, with all of Python's reading of e-mails. It is asked where no folder, or more than
    one, has the package's name.

    Parameters
    ----------
    name : str
        As PyPI knows the package.
    """
    for folder in sys.path:
        versions = versions_in(folder or os.curdir).get(normal_name(name), [])
        if len(versions) == 1:
            return versions[0]
        if versions:
            break
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def versions_in(folder: str) -> dict[str, list[str]]:
    """Versions of the packages in one folder, by name, as this process first found them."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return {}  # an archive, or a folder that is not there
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry.endswith(".dist-info"):
            name, _, version = entry.removesuffix(".dist-info").partition("-")
            found.setdefault(normal_name(name), []).append(version)
    return found


def normal_name(name: str) -> str:
    """Write a package's name in the one way that stands for all."""
    return re.sub(r"[-_.]+", "-", name).lower()
