"""Finding a spec's file and reading its TOML, with the file's problems said in one line."""

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from bayes_crlm.words.errors import SpecError
from bayes_crlm.words.shown import number
from bayes_crlm.words.wording import did_you_mean, shown, shown_name

LARGEST_SPEC = 1_000_000
"""Bytes. A page of text is 3,000, so a larger file is a data file given by mistake."""

LONG_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){30}""", re.ASCII
)
"""A key of thirty tables within tables; tomllib takes memory in the square of their number."""


def models_folder() -> Path:
    """The folder of specs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "models"
    return packaged if packaged.is_dir() else package.parent / "models"


def spec_files() -> dict[str, Path]:
    """Specs in ``models/`` by name, sorted."""
    return {path.stem: path for path in sorted(models_folder().glob("*.toml"))}


def find_spec(path_or_name: str | os.PathLike[str]) -> Path:
    """Find the file of a path or of a name in ``models/``.

    Raises
    ------
    SpecError
        When there is none; the nearest name is suggested.
    """
    if not isinstance(path_or_name, str | os.PathLike):
        raise SpecError(f"{shown(path_or_name)} is not a path or the name of a spec")
    text = os.fspath(path_or_name)
    if not text.strip() or "\0" in text:
        raise SpecError(f"{shown_name(text)} is not the name of a spec; {suggest_spec(text)}")
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if os.path.isfile(path):
        return path
    known = spec_files()
    name = text.removesuffix(".toml")
    if name in known:
        return known[name]
    if os.path.exists(path):
        kind = "a folder" if os.path.isdir(path) else "not a regular file"
        raise SpecError(f"{shown_name(text)} is {kind}; give a spec, which is a TOML file")
    raise SpecError(
        f"{shown_name(text)}: there is no such file and no spec of that name; {suggest_spec(text)}"
    )


def suggest_spec(text: str) -> str:
    """Suggest the spec in ``models/`` whose name is nearest."""
    return did_you_mean(Path(text).name.removesuffix(".toml"), spec_files())


def read_tables(path: Path, where: str | None = None) -> dict[str, Any]:
    """Read a TOML file of at most 1 MB.

    Parameters
    ----------
    path : Path
        The file.
    where : str, optional
        How messages name it; its path without this.

    Raises
    ------
    SpecError
        When it cannot be read, is too large, is not UTF-8 text or not TOML.
    """
    where = shown_name(path) if where is None else where
    text = decode(read_bytes(path, where), where)
    long_key = LONG_KEY.search(text)
    if long_key is not None:
        line = text.count("\n", 0, long_key.start()) + 1
        raise SpecError(f"{where} is not a spec: line {line} has a key of more than 30 parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{where} is not TOML: {one_line(error)}") from None
    except RecursionError:
        raise SpecError(f"{where} is not a spec: its lists are nested too deeply") from None
    except ValueError:  # Python refuses to read an integer of more than 4,300 digits
        raise SpecError(f"{where} is not a spec: it has a number of thousands of digits") from None


def read_bytes(path: Path, where: str) -> bytes:
    """Read a file's bytes, after its size, so that a huge file costs nothing."""
    try:
        with path.open("rb") as file:
            information = os.fstat(file.fileno())
            if not stat.S_ISREG(information.st_mode):
                raise SpecError(f"{where} is not a regular file; give a spec, which is a TOML file")
            if information.st_size > LARGEST_SPEC:
                raise SpecError(
                    f"{where} has {number(information.st_size / 1e6, 1)} MB; a spec has at most 1 "
                    "MB, so is this perhaps a data file?"
                )
            content = file.read(LARGEST_SPEC + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SpecError(f"{where} cannot be read: {reason}") from None
    if not content.strip():
        raise SpecError(f"{where} is empty; a spec needs at least title, [data] and [model]")
    return content


def decode(content: bytes, where: str) -> str:
    """Decode UTF-8, with or without the mark that some editors put before it."""
    if b"\0" in content:
        raise SpecError(f"{where} is not text but a binary or UTF-16 file; save it as UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"{where} is not UTF-8 text: byte 0x{content[error.start]:02x} at line {line}; "
            "save it as UTF-8"
        ) from None


def one_line(error: Exception) -> str:
    """The parser's message on one line of bounded length; it ends with the line and column."""
    text = " ".join(str(error).split())
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"
