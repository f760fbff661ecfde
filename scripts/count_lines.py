"""Lines of Python code of the package, and what stands above the limits of a module or a function.

Usage: ``python scripts/count_lines.py [ROOT]``. Docstrings, comments and blank lines do not count
as code; a module's and a function's length are what an editor shows, these lines included.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

LONGEST_MODULE, LONGEST_FUNCTION = 450, 100
WITH_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER, tokenize.ENCODING,
}  # fmt: skip


def docstring_lines(tree: ast.Module) -> set[int]:
    """Lines that docstrings take, and texts that stand below a name to explain it."""
    found: set[int] = set()
    for node in ast.walk(tree):
        body = node.body if isinstance(node, WITH_DOCSTRINGS) else []
        for each in body:
            value = each.value if isinstance(each, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found |= set(range(each.lineno, (each.end_lineno or each.lineno) + 1))
    return found


def code_lines(text: str) -> int:
    """Count the lines that hold code."""
    docstrings = docstring_lines(ast.parse(text))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def long_functions(text: str) -> list[tuple[str, int]]:
    """Names and lengths of the functions above the limit."""
    return [
        (node.name, length)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]


def main() -> None:
    """Print lines of code by package, then what is too long."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "bayes_crlm"
    lines: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    too_long = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(root).parts
        package = parts[0] if len(parts) > 1 else "(top)"
        lines[package] += code_lines(text)
        modules[package] += 1
        if (length := len(text.splitlines())) > LONGEST_MODULE:
            too_long.append(f"module {path.relative_to(root)}: {length} lines")
        for name, length in long_functions(text):
            too_long.append(f"function {path.relative_to(root)}:{name}: {length} lines")
    for package, count in sorted(lines.items()):
        print(f"{package:16} {modules[package]:4} modules {count:7,} lines of code")
    print(f"{'all':16} {sum(modules.values()):4} modules {sum(lines.values()):7,} lines of code")
    print("\n".join(too_long) or "no module and no function is too long")


if __name__ == "__main__":
    main()
