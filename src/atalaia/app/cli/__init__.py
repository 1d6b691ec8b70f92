"""The command line: ``atalaia <noun> <verb>``, a thin client of the API. Only `up`, `run` and `demo` load the app.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once; this package is therefore one
of the few places where functions import.
"""

from atalaia.app.cli.program import app, main

__all__ = ["app", "main"]
