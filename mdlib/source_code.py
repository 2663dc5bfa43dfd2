"""What the source of a module says: its statements, and which modules it imports."""

import ast
import functools
import io
import tokenize
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path


@functools.cache
def statements(source: str) -> str:
    """Python source without what decides no result: comments, docstrings and blank lines (also those in strings)."""
    lines, documented = source.splitlines(), ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][:token.start[1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            before = lines[text.lineno - 1].encode()[:text.col_offset]          # columns count bytes
            behind = lines[text.end_lineno - 1].encode()[text.end_col_offset:]
            lines[text.lineno - 1] = (before + behind).decode()
            lines[text.lineno:text.end_lineno] = [""] * (text.end_lineno - text.lineno)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def imported(modules: Iterable[Path], among: Collection[Path], package: Path) -> set[Path]:
    """The files of these modules of mdlib, and of all that they import, directly or not, as far as in `among`.

    package: the folder of mdlib.
    """
    found: set[Path] = set()
    waiting = set(modules)
    while waiting:
        path = waiting.pop()
        if path not in found and path in among and path.exists():
            found.add(path)
            waiting |= {file for name in _imports(path) for file in _files(name, package)}
    return found


def _imports(path: Path) -> Iterator[str]:
    """What a module imports: dotted names of modules, and of what is taken from them, which may be modules too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))


def _files(name: str, package: Path) -> list[Path]:
    """Where a module or package of this dotted name would be."""
    top, *parts = name.split(".")
    place = package.joinpath(*parts)
    return [place.with_suffix(".py"), place / "__init__.py"] if top == "mdlib" and parts else []
