"""The grammar of covariate formulas: reading one without evaluating anything of it.

`formulaic` evaluates a call in a formula as Python, with the builtins in reach. A formula
comes from a spec, which is data, so here is a grammar that is a small part of formulaic's
and has no room for code::

    formula   =  [ sum ]
    sum       =  product { ("+" | "-") product }
    product   =  crossing { ("*" | "/") crossing }
    crossing  =  power { ":" power }
    power     =  part [ "**" integer ]
    part      =  column | call | "1" | "(" sum ")"
    column    =  name | "`" any name "`"
    call      =  function "(" arithmetic { "," option } ")"

Inside a call stand columns, numbers, arithmetic and the elementwise functions; options are
literals of the kind that the function takes. What the grammar does not know is refused,
so a new feature of formulaic opens no new way in. Texts and quoted names are kept free of the
characters at which formulaic's reading of a formula could part from the one here.

The size of the expansion is bounded as well: ``(a + b)**500`` has 2**500 products.
"""

import keyword
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from bayes_crlm.model.formula_tokens import ANYTHING_ELSE, END, REASONS, UNREADABLE, Token, refuse
from bayes_crlm.words.errors import FormulaError
from bayes_crlm.words.wording import shown

DEEPEST_NESTING = 20
MOST_TERMS = 500
HIGHEST_ORDER = 5
"""Most columns in one product, and the highest power: a crossing of six covariates
has more cells than a small cohort has patients."""
LARGEST_COUNT = 50
"""Largest number of spline or polynomial columns of one covariate."""

ELEMENTWISE = frozenset({"log", "sqrt", "exp", "I", "center", "scale"})
BOUNDS = {"lower_bound": "number", "upper_bound": "number", "extrapolation": "extrapolation"}
OPTIONS: dict[str, dict[str, str]] = {
    **{name: {} for name in ("log", "sqrt", "exp", "I", "center")},
    "scale": {"center": "flag", "scale": "flag"},
    "C": {"levels": "levels"},
    "bs": {"df": "count", "knots": "numbers", "degree": "count", **BOUNDS},
    "cr": {"df": "count", "knots": "numbers", **BOUNDS},
    "poly": {"degree": "count", "raw": "flag"},
}
ALLOWED_FUNCTIONS = tuple(OPTIONS)
POSITIONAL = {"bs": "df", "cr": "df", "poly": "degree"}
EXTRAPOLATIONS = ("raise", "clip", "na", "zero", "extend")

ALLOWED_LIST = ", ".join(ALLOWED_FUNCTIONS)


class Size(NamedTuple):
    """Upper bounds of a sum's expansion: its terms, and the columns in one of them."""

    terms: int
    order: int
    has_intercept: bool = False


@dataclass
class Reader:
    """A recursive-descent reader of a formula's tokens; it collects what the formula uses."""

    tokens: list[Token]
    position: int = 0
    columns: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    categorical: set[str] = field(default_factory=set)
    numeric: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    @property
    def token(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.position]

    def take(self) -> Token:
        """Read the next token."""
        token = self.token
        self.position += token.kind != END
        return token

    def sees(self, *signs: str) -> bool:
        """Whether one of the signs comes next."""
        return self.token.kind == "sign" and self.token.text in signs

    def accept(self, *signs: str) -> Token | None:
        """Read one of the signs where it comes next."""
        return self.take() if self.sees(*signs) else None

    def expect(self, sign: str) -> None:
        """Read the sign, or refuse what stands in its place."""
        if not self.accept(sign):
            self.refuse_here(f"{sign!r} is expected there")

    def refuse_here(self, why: str) -> NoReturn:
        """Refuse the token to be read next."""
        if self.token.kind == END:
            raise FormulaError(f"formula ends too early: {why}")
        if self.token.kind == UNREADABLE:
            why = REASONS.get(self.token.text, ANYTHING_ELSE)
        refuse(self.token.text, self.token.start, why)

    def check_depth(self, depth: int) -> None:
        """Refuse parentheses within parentheses beyond any use."""
        if depth > DEEPEST_NESTING:
            self.refuse_here(f"parentheses are nested more than {DEEPEST_NESTING} deep")

    # Terms: what formulaic expands into columns.

    def read_sum(self, depth: int) -> Size:
        """Read products joined by + and -."""
        size = self.read_product(depth)
        while sign := self.accept("+", "-"):
            right = self.read_product(depth)
            if sign.text == "-":
                if right.has_intercept:
                    refuse("-", sign.start, NO_INTERCEPT)
                continue
            has_intercept = size.has_intercept or right.has_intercept
            size = self.bounded(size.terms + right.terms, max(size.order, right.order))
            size = size._replace(has_intercept=has_intercept)
        return size

    def read_product(self, depth: int) -> Size:
        """Read crossings joined by * (main effects and products) and / (nesting)."""
        size = self.read_crossing(depth)
        while sign := self.accept("*", "/"):
            right = self.read_crossing(depth)
            self.refuse_scaling(sign, size, right)
            products = size.terms * right.terms if sign.text == "*" else right.terms
            # formulaic multiplies a nested term by all of the terms it is nested in
            factor = size.order if sign.text == "*" else size.order * size.terms
            grown = size.terms + products + (right.terms if sign.text == "*" else 0)
            size = self.bounded(grown, factor + right.order)
        return size

    def read_crossing(self, depth: int) -> Size:
        """Read powers joined by : (products only)."""
        size = self.read_power(depth)
        while sign := self.accept(":"):
            right = self.read_power(depth)
            self.refuse_scaling(sign, size, right)
            size = self.bounded(size.terms * right.terms, size.order + right.order)
        return size

    def read_power(self, depth: int) -> Size:
        """Read a part and its power, which crosses it with itself."""
        size = self.read_part(depth)
        if sign := self.accept("**"):
            power = self.read_exponent()
            self.refuse_scaling(sign, size)
            size = self.bounded(size.terms**power, size.order * power)
        return size

    def bounded(self, terms: int, order: int) -> Size:
        """Refuse an expansion beyond any use."""
        if terms > MOST_TERMS:
            raise FormulaError(
                f"formula expands to {shown(terms)} terms; give at most {MOST_TERMS}"
            )
        if order > HIGHEST_ORDER:
            raise FormulaError(
                f"formula has a product of {order} columns; give at most {HIGHEST_ORDER}"
            )
        return Size(terms, order)

    def refuse_scaling(self, sign: Token, *sizes: Size) -> None:
        """Refuse a product with the intercept."""
        if any(size.has_intercept for size in sizes):
            refuse(sign.text, sign.start, "numbers are multiplied inside of I() only")

    def read_part(self, depth: int) -> Size:
        """Read a column, a call, the intercept or a sum in parentheses."""
        self.check_depth(depth)
        if self.accept("("):
            size = self.read_sum(depth + 1)
            self.expect(")")
            return size
        if self.token.kind == "number":
            token = self.take()
            if token.text == "1":
                return Size(1, 0, has_intercept=True)
            why = NO_INTERCEPT if token.text == "0" else "numbers are read inside of calls only"
            refuse(token.text, token.start, why)
        if self.is_call():
            self.read_call(ALLOWED_FUNCTIONS, depth)
        else:
            self.bare.add(self.read_column(is_in_call=False))
        return Size(1, 1)

    # Calls: what formulaic evaluates as Python.

    def is_call(self) -> bool:
        """Whether a name and an opening parenthesis come next."""
        if self.token.kind not in ("name", "quoted"):
            return False
        following = self.tokens[self.position + 1]
        if following.text != "(":
            return False
        if self.token.kind == "quoted":
            self.refuse_here("only a function can stand before a parenthesis")
        if following.is_spaced:
            self.refuse_here(
                "write the parenthesis right after a function, or an operator before it"
            )
        return True

    def read_call(self, allowed: Collection[str], depth: int) -> None:
        """Read a function and what it is called with."""
        name = self.token.text
        if name not in allowed:
            why = (
                f"{name} makes columns of its own and cannot stand inside of a call"
                if name in OPTIONS
                else f"only {ALLOWED_LIST} may be called"
            )
            self.refuse_here(why)
        self.take()
        self.functions.add(name)
        self.expect("(")
        if name == "C":
            self.categorical.add(self.read_column(is_in_call=True))
        else:
            start = self.token
            if not self.read_arithmetic(depth + 1):
                refuse(start.text, start.start, f"{name}() needs a column")
        given: set[str] = set()
        while self.accept(","):
            self.read_option(name, given)
        self.expect(")")

    def read_option(self, function: str, given: set[str]) -> None:
        """Read one option, by its keyword or, for the first number of a basis, by its place."""
        token = self.token
        options = OPTIONS[function]
        if token.kind == "name" and self.tokens[self.position + 1].text == "=":
            key = token.text
            if key not in options:
                known = f"it takes {', '.join(options)}" if options else "it takes none"
                self.refuse_here(f"{function}() has no such option; {known}")
            self.take()
            self.take()
        elif function in POSITIONAL and not given and token.kind == "number":
            key = POSITIONAL[function]
        else:
            self.refuse_here(
                f"{function}() takes {', '.join(f'{key}=' for key in options) or 'one argument'}"
            )
        if key in given:
            refuse(token.text, token.start, f"{key} is given twice")
        given.add(key)
        self.read_literal(options[key])

    def read_literal(self, kind: str) -> None:
        """Read an option's value."""
        match kind:
            case "flag":
                if self.token.text not in ("True", "False"):
                    self.refuse_here("True or False is expected there")
                self.take()
            case "count":
                text = self.token.text
                is_count = text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= LARGEST_COUNT
                if self.token.kind != "number" or not is_count:
                    self.refuse_here(f"a whole number from 1 to {LARGEST_COUNT} is expected there")
                self.take()
            case "number":
                self.accept("-")
                self.read_number()
            case "extrapolation":
                if self.token.kind != "text" or self.token.text[1:-1] not in EXTRAPOLATIONS:
                    self.refuse_here(f"one of {', '.join(map(repr, EXTRAPOLATIONS))} is expected")
                self.take()
            case "numbers" | "levels":
                self.read_list("number" if kind == "numbers" else "level")
            case "level":
                if self.token.kind == "text":
                    self.read_text()
                elif self.token.text in ("True", "False"):
                    self.take()
                else:
                    self.read_literal("number")

    def read_list(self, kind: str) -> None:
        """Read a list of at least one number or level."""
        self.expect("[")
        self.read_literal(kind)
        while self.accept(","):
            self.read_literal(kind)
        self.expect("]")

    def read_text(self) -> None:
        """Read a level's name; brackets and backslashes in it would mislead formulaic."""
        inside = self.token.text[1:-1]
        if not inside.isprintable() or re.search(r"[\\`'\"(){}\[\]%]", inside):
            self.refuse_here(
                "a level named in a formula has no quotes or brackets; rename the level"
            )
        self.take()

    def read_number(self) -> None:
        """Read a number of ordinary length, which cannot overflow."""
        if self.token.kind != "number":
            self.refuse_here("a number is expected there")
        whole = self.token.text.partition(".")[0]
        if len(self.token.text) > 20 or not abs(float(self.token.text)) < 1e30:
            self.refuse_here("give a number below 1e30 with at most 20 digits")
        if whole.isdecimal() and len(whole) > 1 and whole[0] == "0":
            self.refuse_here("a number starts with a digit other than 0")
        self.take()

    def read_exponent(self) -> int:
        """Read the power, a small whole number."""
        text = self.token.text
        is_small = text.isdecimal() and len(text) == 1 and 1 <= int(text) <= HIGHEST_ORDER
        if self.token.kind != "number" or not is_small:
            self.refuse_here(f"a power is a whole number from 1 to {HIGHEST_ORDER}")
        self.take()
        return int(text)

    def read_arithmetic(self, depth: int) -> bool:
        """Read sums, products and powers of columns and numbers; say if there is a column."""
        has_column = self.read_ratio(depth)
        while self.accept("+", "-"):
            has_column |= self.read_ratio(depth)
        return has_column

    def read_ratio(self, depth: int) -> bool:
        """Read factors joined by * and /."""
        has_column = self.read_factor(depth)
        while self.accept("*", "/"):
            has_column |= self.read_factor(depth)
        return has_column

    def read_factor(self, depth: int) -> bool:
        """Read a number, a column, an elementwise call or parentheses, with sign and power."""
        self.check_depth(depth)
        if self.accept("-"):
            return self.read_factor(depth + 1)
        start = self.token
        if self.accept("("):
            has_column = self.read_arithmetic(depth + 1)
            self.expect(")")
        elif self.token.kind == "number":
            self.read_number()
            has_column = False
        elif self.is_call():
            self.read_call(ELEMENTWISE, depth)
            has_column = True
        else:
            self.numeric.add(self.read_column(is_in_call=True))
            has_column = True
        if self.sees("**"):
            if not has_column:
                # Python's integers have no largest value, so a power of a power need not end
                refuse(start.text, start.start, "a power of a number; write its value")
            self.take()
            self.read_exponent()
        return has_column

    def read_column(self, *, is_in_call: bool) -> str:
        """Read the name of a column."""
        token = self.token
        if token.kind == "name":
            name = token.text
            if keyword.iskeyword(name):
                self.refuse_here("a word of Python; put it in backticks if it is a column")
            if name != unicodedata.normalize("NFKC", name):
                self.refuse_here("Python would read it as another name; rename the column")
        elif token.kind == "quoted":
            name = token.text[1:-1]
            if not name.strip() or not name.isprintable() or "\\" in name:
                self.refuse_here("a name has printable characters and no backslash")
            if is_in_call:
                self.check_quoted_in_call(name)
        else:
            self.refuse_here("a column or a listed function is expected there")
        if name.startswith("__") or name.startswith("_formulaic_"):
            self.refuse_here("such names are reserved; rename the column")
        self.columns.add(name)
        self.take()
        return name

    def check_quoted_in_call(self, name: str) -> None:
        """Refuse a quoted name that formulaic cannot turn into a Python name safely."""
        as_python = "_" + re.sub(r"\W", "_", name)
        if (
            keyword.iskeyword(name)
            or re.search("['\"]", name)
            or name != unicodedata.normalize("NFKC", name)
            or not as_python.isidentifier()
        ):
            self.refuse_here("a column of this name cannot stand inside of a call; rename it")


NO_INTERCEPT = "the baseline hazard is the intercept, so it stays"
