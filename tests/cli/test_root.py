"""``catalog`` itself: global options, help, exit codes, start-up cost."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import catalog
from catalog.cli import app
from catalog.errors import Exit

HEAVY = ["sqlalchemy", "alembic", "PIL", "numpy", "cv2", "watchdog", "rich.table", "pydantic"]
CLI_FOLDER = Path(catalog.__file__).parent / "cli"


def every_command() -> Iterator[tuple[str, ...]]:
    """The words of every command and group, from the program itself."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, child in getattr(command, "commands", {}).items():
            yield from below(child, (*words, name))

    root = app.build()
    context = root.make_context("catalog", ["--quiet"])
    for noun in root.list_commands(context):
        root.get_command(context, noun)
    return below(root, ())


COMMANDS = list(every_command())


# ------------------------------------------------------------------------------------------------ version


@pytest.mark.parametrize("words", [("--version",), ("-q", "--version")])
def test_version(catalog_cli: Any, words: tuple[str, ...]) -> None:
    ran = catalog_cli(*words)
    assert (ran.code, ran.out, ran.stderr) == (0, f"catalog {catalog.__version__}\n", "")


@pytest.mark.parametrize(("words", "more"), [(["--version"], ["typer", "catalog.terms"]), (["--help"], [])])
def test_version_and_help_load_nothing_heavy(words: list[str], more: list[str]) -> None:
    code = f"""
import sys
from catalog.cli import run
run({words!r})
print([name for name in {HEAVY + more!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("noun", app.available())
def test_a_command_module_imports_only_light_things(noun: str) -> None:
    code = f"import sys, catalog.cli.{noun}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_question_loads_nothing_that_decodes_migrates_or_maps(catalog_cli: Any, share: Path) -> None:
    """What it costs is measured by ``benchmarks/startup.py``."""
    assert catalog_cli("scan", share).code == 0
    heavy = ["numpy", "PIL", "cv2", "tifffile", "imagecodecs", "alembic", "watchdog", "sqlalchemy.orm"]
    code = f"""
import sys
from catalog.cli import run
assert run(["query", "files"]) == 0
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=catalog_cli.environment(),
    )
    assert done.stderr.strip() == "[]"


# --------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_tells_the_exit_codes(catalog_cli: Any, words: tuple[str, ...]) -> None:
    ran = catalog_cli(*words, "--help")
    assert ran.code == 0
    assert ran.stderr == ""
    told = ran.out[ran.out.index("Exit codes:") :]
    in_short = " ".join(told.split()).partition("; in full")[0]
    pattern, listed = (r"\b\d+\b(?= [a-z])", in_short) if words else (r"^ +\d+(?=  )", told)
    assert [int(number) for number in re.findall(pattern, listed, re.MULTILINE)] == [
        code.value for code in Exit
    ]
    assert "--help" in ran.out
    lines = [line for line in told.splitlines() if line.strip()]
    assert len(lines) <= 5 or not words, "the codes are told in short"
    assert catalog_cli(*words, "-h").out == ran.out


def test_every_exit_code_has_its_meaning() -> None:
    assert list(app.EXIT_CODES) == list(Exit)


def test_help_shows_the_nouns_in_the_order_of_the_table(catalog_cli: Any) -> None:
    out = catalog_cli("--help").out
    section = out[out.index("Commands:") : out.index("Exit codes:")].splitlines()[1:]
    assert [line.split()[0] for line in section if line.strip()] == app.available()


def test_every_module_with_commands_is_in_the_table() -> None:
    modules = {path.stem for path in CLI_FOLDER.glob("*.py")}
    nouns = {name for name in modules if hasattr(importlib.import_module(f"catalog.cli.{name}"), "app")}
    assert nouns == set(app.available())


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_every_command_says_in_one_line_what_it_answers(words: tuple[str, ...]) -> None:
    root = app.build()
    context = root.make_context("catalog", ["-q"])
    command: Any = root
    for word in words:
        command = command.get_command(context, word)
    assert command.get_short_help_str(200).strip()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_usage_of_every_command_says_each_thing_once(words: tuple[str, ...]) -> None:
    root = app.build()
    context = root.make_context("catalog", ["-q"])
    command: Any = root
    for word in words:
        command = command.get_command(context, word)
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    assert "...]" not in usage
    assert "...}" not in usage
    assert usage == re.sub(r"{[a-z]", "", usage), "arguments are named in capitals"


def test_without_a_command_help_goes_to_stderr_and_the_code_is_usage(catalog_cli: Any) -> None:
    ran = catalog_cli()
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.stderr.startswith("Usage: catalog")


# -------------------------------------------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--fast"], "catalog: no such option: --fast; see: catalog --help\n"),
        (["cofnig"], "catalog: no such command 'cofnig'. Did you mean 'config'?; see: catalog --help\n"),
        (["config", "show", "x"], "unexpected extra argument(s) (x); see: catalog config show --help\n"),
        (["config", "show", "--\x1b[1m"], "no such option: --\\x1b[1m; see: catalog config show --help\n"),
        (["--database"], "'--database' requires an argument; see: catalog --help\n"),
        (["-d", "", "config", "show"], "catalog: --database needs a path\n"),
    ],
)
def test_a_usage_error_is_one_line(catalog_cli: Any, words: list[str], line: str) -> None:
    ran = catalog_cli(*words)
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.stderr.endswith(line)
    assert ran.stderr.startswith("catalog: ")
    assert ran.stderr.count("\n") == 1


# ---------------------------------------------------------------------------------------- global options


def value_of(document: Any, key: str) -> tuple[Any, str]:
    return next((item["value"], item["source"]) for item in document["settings"] if item["key"] == key)


def test_config_show_tells_every_setting_with_its_source(catalog_cli: Any) -> None:
    from catalog.config import KEYS

    catalog_cli.config.write_text('workers = 7\ndecode_limit_bytes = "2GiB"\n')
    ran = catalog_cli("config", "show", "--json")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.json["schema"] == "catalog.config/1"
    assert [item["key"] for item in ran.json["settings"]] == list(KEYS)
    assert value_of(ran.json, "workers") == (7, str(catalog_cli.config))
    assert value_of(ran.json, "decode_limit_bytes") == (2 << 30, str(catalog_cli.config))
    assert value_of(ran.json, "quiet_seconds") == (3.0, "default")
    assert value_of(ran.json, "database") == (str(catalog_cli.database), "CATALOG_DATABASE")
    assert ran.json["files"] == [str(catalog_cli.config)]


def test_config_show_for_people(catalog_cli: Any) -> None:
    lines = catalog_cli("config", "show").out.splitlines()
    assert lines[0].split() == ["setting", "source", "value"]
    assert ["quiet_seconds", "default", "3.0"] in [line.split() for line in lines]
    assert lines[-1] == f"read: {catalog_cli.config}"


@pytest.mark.parametrize(
    "words",
    [("-d", "x.db", "config", "show"), ("config", "-d", "x.db", "show"), ("config", "show", "-d", "x.db")],
)
def test_global_options_stand_before_or_after_the_command(catalog_cli: Any, words: tuple[str, ...]) -> None:
    ran = catalog_cli(*words, "--json")
    assert value_of(ran.json, "database") == (str(catalog_cli.home / "x.db"), "--database")


def test_a_path_that_is_not_utf8_arrives(catalog_cli: Any) -> None:
    ran = catalog_cli("-d", b"/d/\xff.db", "config", "show", "--json")
    database = ran.json["settings"][0]
    assert database["value"] == "/d/\\xff.db"
    assert database["value_b64"] == "L2Qv/y5kYg=="


def test_config_option_wins_over_the_environment(catalog_cli: Any) -> None:
    other = catalog_cli.home / "other.toml"
    other.write_text("workers = 9\n")
    ran = catalog_cli("--config", other, "config", "show", "--json")
    assert value_of(ran.json, "workers") == (9, str(other))


def test_a_configuration_error_is_one_line_and_exit_2(catalog_cli: Any) -> None:
    catalog_cli.config.write_text("wokers = 7\n")
    ran = catalog_cli("config", "show")
    assert ran.code == 2
    assert ran.stderr == f"catalog: {catalog_cli.config}: unknown key wokers; did you mean workers?\n"


# ------------------------------------------------------------------------------------------- how it ends

ENDINGS = """
import sys, typer
from catalog import cli
from catalog.cli import app

noun = typer.Typer()

@noun.command("end")
def end() -> None:
    {body}

app._load = lambda name, options: app.get_group(shell).commands["end"]
shell = typer.Typer()
shell.add_typer(noun)
app.NOUNS = ("config",)
sys.argv = ["catalog", *{options!r}, "config"]
cli.main()
"""


def ending(body: str, *options: str, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Run a command whose body is given through the real ``main`` in a process of its own."""
    code = ENDINGS.format(body=body.replace("\n", "\n    "), options=options)
    return subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False, **popen
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("UsageError", 2),
        ("ConfigError", 2),
        ("DatabaseFull", 3),
        ("WorkerFailed", 3),
        ("OutputFailed", 3),
        ("NoSystemd", 3),
        ("Declined", 4),
        ("NoCatalogue", 10),
        ("SchemaMismatch", 11),
        ("Locked", 12),
        ("Damaged", 13),
        ("NotPermitted", 14),
        ("NotFound", 20),
    ],
)
def test_an_error_of_the_world_is_one_line_and_its_own_code(error: str, code: int) -> None:
    ran = ending(
        f"from catalog.errors import {error}; raise {error}('it happened: a\\x1bb\\nc', hint='do this')"
    )
    assert ran.returncode == code
    assert ran.stderr == "catalog: it happened: a\\x1bb\\nc; do this\n"


def test_every_error_class_has_an_exit_code_and_is_tested_here() -> None:
    from catalog.errors import CatalogError

    marks = test_an_error_of_the_world_is_one_line_and_its_own_code.pytestmark  # type: ignore[attr-defined]
    tested = {error for error, _ in marks[0].args[1]}
    assert {kind.__name__ for kind in CatalogError.__subclasses__()} == tested


def test_a_bug_of_ours_is_70_and_says_how_to_report_it() -> None:
    ran = ending("raise KeyError('x')")
    assert ran.returncode == 70
    assert ran.stderr.startswith("catalog: internal error: KeyError: 'x'\nThis is a bug of ours")
    assert "report" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Traceback" in ending("raise KeyError('x')", "-v").stderr


def test_interrupt_is_130() -> None:
    ran = ending("raise KeyboardInterrupt")
    assert (ran.returncode, ran.stderr) == (130, "catalog: interrupted\n")


def test_a_prompt_without_terminal_is_4() -> None:
    ran = ending("typer.confirm('really?')", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert ran.returncode == 4
    assert ran.stderr.endswith("catalog: nothing was done: the question was not answered with yes\n")


@pytest.mark.parametrize(
    "body", ["print('x' * 1000000)", "print('x')", "sys.stdout.buffer.write(b'x' * 1000000)"]
)
def test_a_closed_pipe_ends_quietly(body: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = ending(body, stdout=writer)
    finally:
        os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_another_broken_pipe_is_a_bug_and_not_quiet() -> None:
    ran = ending("raise BrokenPipeError(32, 'worker went away')", stdout=subprocess.DEVNULL)
    assert ran.returncode == 70
    assert "BrokenPipeError" in ran.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("body", ["print('x')", "print('x' * 1000000)"])
def test_a_full_disk_behind_stdout_is_one_line(body: str, unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        ran = ending(body, stdout=full, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert ran.returncode == 3
    assert ran.stderr == "catalog: the answer could not be written: No space left on device\n"


def test_a_closed_stdout_does_no_harm() -> None:
    ran = ending("print('x')", preexec_fn=lambda: os.close(1))
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    ran = ending("print('写')", stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\\u5199\n", "")


def test_ctrl_c_ends_a_real_process_with_130(catalog_cli: Any, eventually: Callable[..., Any]) -> None:
    # The configuration is a FIFO that nobody writes: the process waits in the middle of a command.
    fifo = catalog_cli.home / "fifo.toml"
    os.mkfifo(fifo)
    with catalog_cli.start("--config", fifo, "config", "show") as started:
        writer = eventually(lambda: open_for_writing(fifo))
        started.send_signal(signal.SIGINT)
        os.close(
            writer
        )  # Python may be just before its read, and would not see the signal before that returns
        _, stderr = started.communicate(timeout=20)
    assert (started.returncode, stderr) == (130, b"catalog: interrupted\n")


def open_for_writing(fifo: Path) -> int:
    """Succeeds as soon as somebody reads."""
    return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
