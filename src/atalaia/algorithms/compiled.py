"""The one door to numba: loops over arrays, compiled to machine code when they are first called.

What was compiled is kept beside the package (or where numba may write), so that only the first process waits for
it. numba keeps a function as long as its own file is unchanged, though it may hold code of others: the folder is
named after the content of all that are compiled, so that an edit to one of them compiles all anew.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from numba import config, njit

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """Return `function` compiled; it holds the GIL, so that no other thread sees its arrays half changed."""
    return cast(_Function, njit(cache=True, error_model="numpy")(function))


def compiled_without_gil(function: _Function) -> _Function:
    """Return `function` compiled; it lets other threads run, for long loops over arrays of its own."""
    return cast(_Function, njit(cache=True, error_model="numpy", nogil=True)(function))


def compiled_inline(function: _Function) -> _Function:
    """Return `function` compiled into each compiled function that calls it; it must not make arrays.

    References to its arrays are not counted: in a function of a few instructions that would cost ten times the
    work.
    """
    inline = cast(Any, njit)  # numba's own stubs do not know `_nrt`
    return cast(_Function, inline(cache=True, error_model="numpy", forceinline=True, _nrt=False)(function))


def _keep_beside(package: str) -> None:
    """Let numba keep its code in a folder of this state of the package, if one can be written there."""
    place = os.path.join(package, "__pycache__")
    try:
        os.makedirs(place, exist_ok=True)
    except OSError:
        return
    if os.access(place, os.W_OK) and not config.CACHE_DIR:  # pyright: ignore[reportAttributeAccessIssue]
        told = hashlib.sha256(b"".join(sorted(_compiled_files(package)))).hexdigest()
        config.CACHE_DIR = os.path.join(place, f"compiled-{told[:16]}")  # pyright: ignore[reportAttributeAccessIssue]


def _compiled_files(folder: str) -> Iterator[bytes]:
    for entry in os.scandir(folder):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _compiled_files(entry.path)
        elif entry.name.endswith(".py"):
            with open(entry.path, "rb") as file:
                content = file.read()
            if b"compiled import compiled" in content:
                yield content


_keep_beside(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
