"""Ask before something is done that cannot simply be taken back."""

from __future__ import annotations

import sys

from catalog.errors import Declined
from catalog.terms import printable


def ask(question: str, *, yes: bool) -> None:
    """Go on only with a yes. Raises Declined (4), also when there is no terminal to ask at.

    On stderr: stdout carries the answer and nothing else.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise Declined(
            f"nothing was done: there is no terminal to ask at. {question}", hint="say yes with --yes"
        )
    print(f"{printable(question)} [y/N]: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Declined("nothing was done: the question was not answered with yes")
