"""Draw the packages in the order in which they may import each other.

Usage: ``python scripts/draw_packages.py``. Reads the import contract of ``pyproject.toml`` and the
first line of every package's docstring, and writes ``docs/images/packages.svg``. A test holds that
the picture is that of the present contract.
"""

import ast
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "packages.svg"
WIDTH, HEIGHT, GAP, MARGIN = 880, 46, 8, 12
# names users import, and the way in: they hold no code of their own
FACES = {"__main__", "priors"}


def layers() -> list[list[str]]:
    """Packages from the top, those of one height together."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (found,) = (each["layers"] for each in contracts if each["type"] == "layers")
    rows = [[name.strip() for name in layer.split("|")] for layer in found]
    return [row for row in rows if not FACES.issuperset(row)]


def purpose(package: str) -> str:
    """First line of a package's docstring."""
    path = ROOT / "bayes_crlm" / package / "__init__.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into at most two lines."""
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width and len(lines) < 2:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def picture() -> str:
    """The picture as SVG text."""
    rows = layers()
    height = len(rows) * (HEIGHT + GAP) + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" role="img">',
        "<title>The packages of bayes_crlm: each imports only what is below it</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for k, row in enumerate(rows):
        top = MARGIN + k * (HEIGHT + GAP)
        share = (WIDTH - 2 * MARGIN - (len(row) - 1) * GAP) / len(row)
        for j, package in enumerate(row):
            left = MARGIN + j * (share + GAP)
            middle = left + share / 2
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{share:.1f}" height="{HEIGHT}" rx="5" '
                'fill="#eef4fa" stroke="#0072b2"/>'
            )
            parts.append(
                f'<text x="{middle:.1f}" y="{top + 15}" text-anchor="middle" font-size="13" '
                f'font-weight="bold">{escape(package)}</text>'
            )
            for i, line in enumerate(wrapped(purpose(package), int(share / 5.4))):
                parts.append(
                    f'<text x="{middle:.1f}" y="{top + 28 + 12 * i}" text-anchor="middle" '
                    f'font-size="10" fill="#333333">{escape(line)}</text>'
                )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)} written")
