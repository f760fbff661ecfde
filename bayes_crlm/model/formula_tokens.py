"""The words of a formula: names, numbers, texts and signs."""

import re
from typing import NamedTuple, NoReturn

from bayes_crlm.words.errors import FormulaError
from bayes_crlm.words.wording import shown

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[^\W\d]\w*)
      | (?P<quoted>`[^`]*`)
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<sign>\*\*|[-+*/:(),=\[\]])""",
    re.VERBOSE,
)
END = "end"
UNREADABLE = "unreadable"

REASONS = {
    "~": "write the right-hand side only",
    ".": "attributes are not read; put a column whose name holds a dot in backticks, as in `a.b`",
    "|": "a formula has one part",
    "^": "write a power as **",
    "{": "code is not evaluated",
    "%": "write a nested product with '/'",
    "`": "the closing backtick is missing",
    '"': "the closing quote is missing",
    "'": "the closing quote is missing",
}
ANYTHING_ELSE = "a formula has columns, numbers, + - * : / ** ( ) and the listed functions"


class Token(NamedTuple):
    """A piece of the formula: its kind, its text, where it starts, whether space is before it."""

    kind: str
    text: str
    start: int
    is_spaced: bool


def tokenize(text: str) -> list[Token]:
    """Cut a formula into tokens, up to a character that has no place in one."""
    tokens: list[Token] = []
    position = 0
    is_spaced = False
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            tokens.append(Token(UNREADABLE, text[position], position, is_spaced))
            break
        kind = str(match.lastgroup)
        if kind == "number" and re.match(r"[\w.]", text[match.end() : match.end() + 1]):
            refuse(text[position : match.end() + 1], position, "a number ends before a letter")
        if kind != "space":
            tokens.append(Token(kind, match.group(), position, is_spaced))
        is_spaced = kind == "space"
        position = match.end()
    tokens.append(Token(END, "", len(text), is_spaced))
    return tokens


def refuse(piece: str, position: int, why: str) -> NoReturn:
    """Raise the error for a piece of the formula."""
    raise FormulaError(f"formula: {shown(piece)} at character {position + 1} is refused: {why}")
