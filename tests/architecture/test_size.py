"""Size is a budget: a file that outgrows it is two ideas."""

from __future__ import annotations

import ast

from tests.architecture.tree import sources, text

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60

#: path, or path::function -> lines: what may be longer, and how long. It may shrink, never grow.
EXCEPTIONS: dict[str, int] = {}


def lines_of_functions(path: str, tree: ast.Module) -> dict[str, int]:
    return {
        f"{path}::{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_no_file_and_no_function_is_over_its_budget() -> None:
    over: dict[str, int] = {}
    for path in sources():
        content = text(path) or ""
        length = content.count("\n")
        if length > EXCEPTIONS.get(str(path), MAX_FILE_LINES):
            over[str(path)] = length
        if path.suffix == ".py":
            for name, size in lines_of_functions(str(path), ast.parse(content)).items():
                if size > EXCEPTIONS.get(name, MAX_FUNCTION_LINES):
                    over[name] = size
    assert not over, f"over {MAX_FILE_LINES} lines a file or {MAX_FUNCTION_LINES} a function: split {over}"


def test_an_exception_that_is_no_longer_needed_is_taken_away() -> None:
    sizes: dict[str, int] = {}
    for path in sources():
        content = text(path) or ""
        sizes[str(path)] = content.count("\n")
        if path.suffix == ".py":
            sizes |= lines_of_functions(str(path), ast.parse(content))
    for name, allowed in EXCEPTIONS.items():
        assert sizes.get(name) == allowed, f"{name} has {sizes.get(name)} lines, the exception says {allowed}"
