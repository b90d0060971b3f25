"""Docstrings below the fields of settings, read from its source when somebody asks for them.

pydantic would read them at every start (`use_attribute_docstrings`), of which that took a tenth.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from itertools import pairwise, takewhile

from pydantic_settings import BaseSettings


@cache
def docstrings(kind: type[BaseSettings]) -> Mapping[str, str]:
    """Return field -> docstring, those of bases included. Empty for classes whose source is not there."""
    ours = [*takewhile(lambda each: each is not BaseSettings, kind.__mro__)]
    return dict(found for each in reversed(ours) for found in _own(each))


def _own(kind: type) -> Iterator[tuple[str, str]]:
    with suppress(OSError, TypeError):  # there is no source
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                value = text.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield field.target.id, inspect.cleandoc(value.value)
