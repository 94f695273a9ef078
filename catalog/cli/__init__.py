"""The command line. ``main`` is the entry point; ``app.py`` knows the commands, one module per noun.

Only the cheapest modules are imported at the top: ``catalog --version`` needs nothing more.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False  # importing typing takes half as long as starting Python
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    """Run ``catalog`` with the words of the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run one command and give its exit code.

    The only place that turns an error into a line on stderr and a code. A reader of stdout who went away
    (``catalog … | head``) ends the command quietly with 0.
    """
    try:
        _prepare_output()
        code = _execute(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = _complain("interrupted", 130)
    except Exception as error:  # noqa: BLE001 - the outermost place of all: what arrives here is reported
        code = _failed(error, words)
    _let_go_of_output()
    return code


class _Stdout(io.FileIO):
    """File descriptor 1: a full disk behind it is the world's doing, and told apart from a bug here."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            from catalog.errors import OutputFailed

            raise OutputFailed(f"the answer could not be written: {error.strerror}") from error


def _prepare_output() -> None:
    given = sys.__stdout__
    if given is None or sys.stdout is not given:
        return
    # Buffered also under PYTHONUNBUFFERED: a raw write may come short without any error. And what the
    # terminal's encoding lacks is escaped; it never ends an answer half-way.
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Stdout(1, "w", closefd=False)),
        encoding=given.encoding,
        errors="backslashreplace",
        line_buffering=given.line_buffering,
    )


def _execute(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        # Typer alone takes five times as long to import as Python to start.
        from catalog import __version__

        print(f"catalog {__version__}")
        return 0
    import typer

    from catalog.cli.app import build

    command = build()
    try:
        with command.make_context("catalog", list(words)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _failed(error: Exception, words: list[str]) -> int:
    from typer import Abort
    from typer.exceptions import TyperException

    from catalog.errors import CatalogError, Exit

    if isinstance(error, BrokenPipeError) and _reader_gone():
        return Exit.OK
    if isinstance(error, CatalogError):
        return _complain(str(error), error.code)
    if isinstance(error, TyperException):
        return _complain_about_usage(error)
    if isinstance(error, Abort | EOFError):
        if sys.stderr is not None and sys.stderr.isatty():
            print(file=sys.stderr)  # the cursor stands behind the question
        return _complain("nothing was done: the question was not answered with yes", Exit.DECLINED)
    return _report_bug(error, verbose=any(word in ("-v", "-vv", "--verbose") for word in words))


def _complain(line: str, code: int) -> int:
    """One line on stderr, whatever the words hold. Gives the code back."""
    from catalog.terms import printable

    print(f"catalog: {printable(line)}", file=sys.stderr)
    return code


def _complain_about_usage(error: Exception) -> int:
    from catalog.errors import Exit

    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "catalog"
    if "\n" in message and message.startswith("Usage:"):
        # A noun without a command: Typer raises the help itself.
        print(message, file=sys.stderr)
        return Exit.USAGE
    message = _plain(" ".join(message.split()).rstrip("."))
    return _complain(f"{message[:1].lower()}{message[1:]}; see: {where} --help", Exit.USAGE)


def _plain(message: str) -> str:
    """Typer's checks speak pydantic; people get the same in words."""
    import re

    for pattern, words in (
        (r"Input should be a valid integer\b.*", "expected a whole number"),
        (r"Input should be a valid number\b.*", "expected a number"),
        (r"Input should be a valid boolean\b.*", "expected yes or no"),
        (r"Input should be greater than or equal to (\S+)", r"expected \1 or more"),
        (r"Input should be less than or equal to (\S+)", r"expected \1 or less"),
    ):
        message = re.sub(pattern, words, message)
    return message


def _report_bug(error: Exception, *, verbose: bool) -> int:
    import traceback

    from catalog import __version__
    from catalog.errors import Exit

    if verbose:
        traceback.print_exception(error)
    last = "".join(traceback.format_exception_only(error)).strip()
    _complain(f"internal error: {last}", Exit.BUG)
    print(
        f"This is a bug of ours (catalog {__version__}, Python {sys.version.split()[0]}), not a fault of your"
        " files.\nPlease report it with the output of the same command with --verbose added.",
        file=sys.stderr,
    )
    return Exit.BUG


def _reader_gone() -> bool:
    """Whether nobody reads our stdout or stderr any more: any other broken pipe is a fault of ours."""
    import select

    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _let_go_of_output() -> None:
    """Send to nowhere what stdout cannot take: the interpreter would try again and complain at exit."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if stream is None:
            continue
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - it has been reported
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, number)
            os.close(nowhere)
