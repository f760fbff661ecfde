"""Records: frozen dataclasses that share their methods.

`dataclasses.dataclass` writes five methods for every class and compiles them, half a millisecond a
class. There are a hundred such classes on the way to a first posterior, and most of them are made
once. `record` gives all of them the same methods, which look up the fields.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import partial
from typing import Any, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: Any = None, /, *, eq: bool = True) -> Any:
    """Make a class a record.

    It does as `dataclass(frozen=True)`: `dataclasses.fields`, `replace` and `asdict` know it, and
    methods that it has of its own stay. A record may be derived from records alone. Of a field
    `dataclasses.field` may say a default alone: each is given, written and compared.

    Parameters
    ----------
    cls : type
        With annotated fields.
    eq : bool
        Compare by values. Without it a record is equal to itself alone, as it has to be where
        fields are arrays.
    """
    if cls is None:
        return partial(record, eq=eq)
    methods: dict[str, Callable] = {
        "__repr__": written,
        "__setattr__": refuse_to_set,
        "__delattr__": refuse_to_delete,
    }
    if eq:
        methods |= {"__eq__": is_same, "__hash__": hash_of_values}
    own = vars(cls)
    # without methods to write, nothing is compiled
    made: Any = dataclass(init=False, repr=False, eq=False)(cls)
    methods["__init__"] = init_of(fields(made))
    for name, method in methods.items():
        if name not in own:
            setattr(made, name, method)
    return made


def init_of(described: tuple[Field, ...]) -> Callable[..., None]:
    """Give the method that fills the fields of a record, by place or by name."""
    names = [each.name for each in described]

    def fill(self: Any, /, *values: Any, **named: Any) -> None:
        given = dict(zip(names, values, strict=False))
        if len(values) > len(names) or named.keys() & given.keys() or named.keys() - set(names):
            raise TypeError(f"{type(self).__name__} takes {', '.join(names)}, each once")
        given |= named
        attributes = vars(self)
        for each in described:
            name = each.name
            attributes[name] = given[name] if name in given else default_of(each, self)
        if (check := getattr(self, "__post_init__", None)) is not None:
            check()

    return fill


def default_of(described: Field, owner: object) -> Any:
    """Give a field's value where none is given."""
    if described.default is not MISSING:
        return described.default
    if described.default_factory is not MISSING:
        return described.default_factory()
    raise TypeError(f"{type(owner).__name__} is not given its {described.name}")


def values_of(self: Any) -> tuple[Any, ...]:
    """A record's values, in the order of its fields."""
    return tuple(getattr(self, name) for name in self.__match_args__)


def written(self: Any) -> str:
    """Write a record as it would be made."""
    pairs = zip(self.__match_args__, values_of(self), strict=True)
    inside = ", ".join(f"{name}={value!r}" for name, value in pairs)
    return f"{type(self).__qualname__}({inside})"


def is_same(self: Any, other: object) -> bool:
    """Whether two records of a class have the same values."""
    if type(self) is not type(other):
        return NotImplemented
    return values_of(self) == values_of(other)


def hash_of_values(self: Any) -> int:
    """Hash a record by its values."""
    return hash(values_of(self))


def refuse_to_set(self: Any, name: str, value: object) -> None:
    """Keep a record as it is."""
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def refuse_to_delete(self: Any, name: str) -> None:
    """Keep a record as it is."""
    raise FrozenInstanceError(f"cannot delete field {name!r}")
