"""What a task's result depends on, as a digest: its call, the shared value and all code behind it.

Two sources of code count: the file of the function's module, and the function as it is loaded in
this process with what it refers to. The file alone would not do: a notebook has none, and a
module can be edited, or defined anew, after it was imported.
"""

import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from bayes_crlm.tasks.calls import Call, find_function
from bayes_crlm.words.errors import ExecutorError

PACKAGE = "bayes_crlm"


def digests_of(calls: Sequence[Call], payload: bytes | None, code: str) -> list[str]:
    """Digest of all that each call's result depends on.

    Parameters
    ----------
    calls : sequence of Call
        Functions' names and their arguments.
    payload : bytes or None
        The pickled shared value.
    code : str
        From `digest_of_code`.

    Raises
    ------
    ExecutorError
        As `digest_of_function`.
    """
    shared = "" if payload is None else hashlib.sha256(payload).hexdigest()
    functions = {name: digest_of_function(name) for name in {call.function for call in calls}}
    return [digest(json.dumps([code, functions[call.function], *call, shared])) for call in calls]


def digest_of_code(versions: Mapping[str, str]) -> str:
    """Short digest of versions (`bayes_crlm.tasks.calls.code_in_use`) and kernel.

    Each entry of a store is marked with it.
    """
    return digest(json.dumps([versions, kernel()]))[:16]


def digest(text: str) -> str:
    """SHA-256 of a text; half a character pair in it counts as it is."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def kernel() -> list[str]:
    """Processor types that linear algebra is written for here: sums differ from one to another."""
    import numpy as np  # noqa: F401  (brings the library that is asked)
    from threadpoolctl import threadpool_info

    return sorted(
        {str(each.get("architecture")) for each in threadpool_info() if each["user_api"] == "blas"}
    )


def digest_of_function(name: str) -> str:
    """Digest of a function's module and of the function as it is loaded.

    Parameters
    ----------
    name : str
        ``module:function``.

    Returns
    -------
    str
        Empty for functions of this package, whose source `code_in_use` holds.

    Raises
    ------
    ExecutorError
        When the function has no file, and uses values that cannot be told apart.
    """
    module = name.partition(":")[0]
    if module.partition(".")[0] == PACKAGE:
        return ""
    path = getattr(import_module(module), "__file__", None)
    source = "" if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()
    loaded = Loaded(name, module, is_filed=path is not None)
    return digest(json.dumps([source, loaded.of_value(find_function(name))]))


class Loaded:
    """Describes values of a module as plain JSON: functions by their code and what it refers to."""

    def __init__(self, name: str, module: str, *, is_filed: bool) -> None:
        """Describe on behalf of one function; `is_filed`: its module's file counts already."""
        self.name, self.module, self.is_filed = name, module, is_filed
        self.seen: set[int] = set()

    def of_value(self, value: Any) -> Any:
        """Describe a function, class, module or any other value."""
        if isinstance(value, partial):
            return ["partial", *map(self.of_value, (value.func, value.args, value.keywords))]
        function = value if isinstance(value, FunctionType) else getattr(value, "__wrapped__", None)
        if isinstance(function, FunctionType):
            return self.of_function(function)
        if isinstance(value, ModuleType):
            return ["module", value.__name__, str(getattr(value, "__version__", ""))]
        if isinstance(value, type):
            return self.of_class(value)
        if isinstance(value, (list, tuple)):
            return [type(value).__name__, *map(self.of_value, value)]
        if isinstance(value, (set, frozenset)):
            return ["set", *sorted(json.dumps(self.of_value(each)) for each in value)]
        if isinstance(value, dict):
            return ["dict", *map(self.of_value, value.items())]
        return self.of_data(value)

    def of_data(self, value: Any) -> Any:
        """Describe a value by its pickle, and by its class where that is of the same module."""
        kind = self.of_value(type(value)) if type(value).__module__ == self.module else ""
        try:
            return [kind, hashlib.sha256(pickle.dumps(value)).hexdigest()]
        except Exception as problem:  # whatever a value's own pickling raises
            if self.is_filed:
                return [kind, type(value).__qualname__]
            raise ExecutorError(
                f"{self.name.partition(':')[2]} is not a function of a file and uses a value of "
                f"type {type(value).__qualname__}, which a store cannot tell from another; put the "
                "function into a module of its own, or leave the store out"
            ) from problem

    def of_function(self, function: FunctionType) -> Any:
        """Describe a function by its code, its defaults and the names that it uses."""
        if id(function) in self.seen or function.__module__ != self.module:
            return ["function", function.__module__, function.__qualname__]
        self.seen.add(id(function))
        code = function.__code__
        cells = [self.of_cell(cell) for cell in function.__closure__ or ()]
        used = {
            name: self.of_value(function.__globals__[name])
            for name in sorted(names_in(code))
            if name in function.__globals__
        }
        defaults = [self.of_value(each) for each in function.__defaults__ or ()]
        named = {key: self.of_value(each) for key, each in (function.__kwdefaults__ or {}).items()}
        return [of_code(code), defaults, named, cells, used]

    def of_cell(self, cell: Any) -> Any:
        """Describe what a closure holds."""
        try:
            return self.of_value(cell.cell_contents)
        except ValueError:  # not filled yet
            return None

    def of_class(self, value: type) -> Any:
        """Describe a class by its methods and values, where it is of the same module."""
        if id(value) in self.seen or value.__module__ != self.module:
            return ["class", value.__module__, value.__qualname__]
        self.seen.add(id(value))
        members = []
        for name, each in sorted(vars(value).items()):
            function = getattr(each, "__func__", getattr(each, "fget", each))
            if isinstance(function, FunctionType):
                members.append([name, self.of_function(function)])
            elif not name.startswith("__"):
                members.append([name, type(each).__qualname__, repr_of_plain(each)])
        return [members, [self.of_value(base) for base in value.__bases__]]


def repr_of_plain(value: Any) -> str:
    """Write a plain value; others, which may show where they lie in memory, as nothing."""
    return repr(value) if isinstance(value, (str, bytes, int, float, bool, type(None))) else ""


def names_in(code: CodeType) -> set[str]:
    """Names that a code uses, those of functions defined in it included."""
    names = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            names |= names_in(each)
    return names


def of_code(code: CodeType) -> Any:
    """Describe a code without its place in a file."""
    constants = [
        of_code(each) if isinstance(each, CodeType) else constant(each) for each in code.co_consts
    ]
    return [code.co_code.hex(), constants, list(code.co_names), list(code.co_varnames)]


def constant(value: Any) -> Any:
    """Describe a constant; a set has no order."""
    if isinstance(value, frozenset):
        return ["set", sorted(map(repr, value))]
    return [type(value).__name__, repr(value)]
