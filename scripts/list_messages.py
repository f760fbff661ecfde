"""Every sentence and phrase that the program may say, each once, to be read in one go.

Usage: ``python scripts/list_messages.py [WORDS ...]``. Without words all texts of two words or more
are listed, by module; with words only the texts that contain one of them. What is filled in stands
as {name}. Docstrings are not messages.
"""

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "bayes_crlm"
WITH_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(tree: ast.Module) -> set[int]:
    """The nodes that are docstrings, or explain the name above them."""
    return {
        id(each.value)
        for node in ast.walk(tree)
        if isinstance(node, WITH_DOCSTRINGS)
        for each in node.body
        if isinstance(each, ast.Expr)
    }


def text_of(node: ast.expr) -> str | None:
    """The text of a constant or of an f-string; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    pieces = []
    for each in node.values:
        if isinstance(each, ast.FormattedValue):
            pieces.append("{" + ast.unparse(each.value) + "}")
        elif isinstance(each, ast.Constant):
            pieces.append(str(each.value))
    return "".join(pieces)


def texts_in(node: ast.AST, skipped: set[int]) -> list[tuple[int, str]]:
    """Line and text of every message below a node; parts of an f-string are not listed again."""
    found = []
    for child in ast.iter_child_nodes(node):
        if id(child) in skipped:
            continue
        text = text_of(child) if isinstance(child, ast.expr) else None
        if text is None:
            found += texts_in(child, skipped)
            continue
        found.append((child.lineno, text))
        if isinstance(child, ast.JoinedStr):
            filled = [each.value for each in child.values if isinstance(each, ast.FormattedValue)]
            found += [inner for each in filled for inner in texts_in(each, skipped)]
    return found


def messages(package: Path = PACKAGE) -> dict[str, tuple[str, int]]:
    """Every text of two words or more, with the first place where it stands."""
    found: dict[str, tuple[str, int]] = {}
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, text in texts_in(tree, docstrings(tree)):
            plain = " ".join(text.split())
            if len([word for word in plain.split(" ") if any(map(str.isalpha, word))]) > 1:
                found.setdefault(plain, (path.relative_to(package).as_posix(), line))
    return found


def main() -> None:
    """Print the list."""
    wanted = [word.lower() for word in sys.argv[1:]]
    last = ""
    for text, (path, line) in messages().items():
        if wanted and not any(word in text.lower() for word in wanted):
            continue
        if path != last:
            print(f"\n{path}")
        last = path
        print(f"{line:5}  {text}")


if __name__ == "__main__":
    main()
