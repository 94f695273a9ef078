"""Settings: what they are, where they come from, and which database they lead to (docs/configuration.md).

Every value knows its source, so that ``catalog config show`` can say why the program does what it does.
Nothing here is cached: a daemon calls ``load`` again to reload.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.errors import ConfigError, NotPermitted, UsageError
from catalog.terms import Kind, Limits

SYSTEM_FILE: Final = "/etc/catalog/catalog.toml"
SERVICE_DATABASE: Final = "/var/lib/catalog/catalog.sqlite3"
DATABASE_NAME: Final = "catalog.sqlite3"

# Every format that the decoders read: what Pillow opens to samples, and the further names and dialects of
# TIFF that tifffile reads.
# HEIC needs the extra ``heif``: without it such a file is recorded with that reason, and its raw checksums.
# Not here: what only a plug-in or an outside program can draw (EPS, WMF, MPEG, HDF5, GRIB, BUFR), and IPTC
# records.
_NAMES = """
apng avif avifs bif blp bmp btf bw cur dcx dds dib dng fit fits flc fli ftc ftu gbr gel gif heic heif hif
icb icns ico im j2c j2k jfif jp2 jpc jpe jpeg jpf jpg jpx lsm mpo msp ndpi pam pbm pcd pcx pfm pgm png
pnm ppm psd ptif ptiff pxr qoi qptiff ras rgb rgba scn sgi stk svs tf2 tf8 tga tif tiff vda vst webp xbm
xpm zif
"""
IMAGE_EXTENSIONS: Final = tuple(_NAMES.split())


# ---------------------------------------------------------------------------------------- kinds of values


@dataclass(frozen=True, slots=True)
class ValueKind:
    """How a setting is read. ``read`` gives the value or raises ValueError; ``expected`` says it in words."""

    expected: str
    read: Callable[[Any], Any]


def size(value: Any) -> int:
    """Bytes from ``500000``, ``"500MB"`` (powers of 1000) or ``"2GiB"`` (powers of 1024).

    Raises ValueError for everything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = isinstance(value, str) and re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kKMGT])(i?)B|B?)", value.strip())
    if not match:
        raise ValueError
    number, letter, binary = match.groups()
    power = " kMGT".index(letter.replace("K", "k")) if letter else 0
    return round(float(number) * (1024 if binary else 1000) ** power) if power else math.floor(float(number))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError
        return value

    return read


def _number(accepts: Callable[[float], bool]) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        # TOML knows nan and inf; neither is a duration.
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError
        if not accepts(value):
            raise ValueError
        return float(value)

    return read


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(_text(item) for item in value)


def _extensions(value: Any) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.removeprefix(".").lower() for name in _texts(value)))
    if not all(names) or any("/" in name for name in names):
        raise ValueError
    return names


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return read


# The others are accepted one by one, by somebody who named the file, never by a policy.
_ACCEPTABLE = tuple(kind for kind in Kind if kind not in (Kind.BROKEN, Kind.MISSING, Kind.UNREADABLE))


def _kinds(value: Any) -> tuple[Kind, ...]:
    kinds = tuple(Kind(word) for word in _texts(value))
    if not set(kinds) <= set(_ACCEPTABLE):
        raise ValueError
    return kinds


TEXT: Final = ValueKind("text", _text)
FLAG: Final = ValueKind("true or false", _flag)
COUNT: Final = ValueKind("a whole number, 1 or more", _whole(1))
NUMBER: Final = ValueKind("a whole number, 0 or more", _whole(0))
SECONDS: Final = ValueKind("seconds, 0 or more", _number(lambda value: value >= 0))
PERIOD: Final = ValueKind("seconds, more than 0", _number(lambda value: value > 0))
SHARE: Final = ValueKind("a number from 0 to 1", _number(lambda value: 0 <= value <= 1))
SIZE: Final = ValueKind('bytes, or text like "500MB" or "2GiB"', size)
GLOBS: Final = ValueKind("a list of globs", _texts)
EXTENSIONS: Final = ValueKind("a list of file name extensions", _extensions)
MODE: Final = ValueKind('"auto", "inotify", "poll" or "both"', _one_of("auto", "inotify", "poll", "both"))
KINDS: Final = ValueKind("a list of kinds of drift: " + ", ".join(_ACCEPTABLE), _kinds)


# ----------------------------------------------------------------------------------------------- settings


_LIMITS = Limits()


def _setting(default: Any, kind: ValueKind, meaning: str) -> Any:
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


def _cores() -> int:
    """Cores that this process may use (a container or ``taskset`` may give fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) or 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default. The meaning of each stands in its ``metadata`` and in the docs."""

    database: str | None = _setting(None, TEXT, "Path of the catalogue; see “Which database”")
    extensions: tuple[str, ...] = _setting(
        IMAGE_EXTENSIONS, EXTENSIONS, "Names of image files, in upper or lower case, with or without dot"
    )
    include: tuple[str, ...] = _setting(
        (), GLOBS, "Other files to catalogue by their raw checksums only (state `other`)"
    )
    exclude: tuple[str, ...] = _setting((), GLOBS, "Files and folders to ignore, and to count as ignored")
    follow_links: bool = _setting(False, FLAG, "Follow symbolic links inside a share")
    record_loader_checksums: bool = _setting(
        False, FLAG, "Record what OpenCV and Pillow make of each file, too; 3 to 10 times slower"
    )
    workers: int = field(
        default_factory=_cores, metadata={"kind": COUNT, "meaning": "Decode processes; default: one per core"}
    )
    decode_limit_pixels: int = _setting(
        _LIMITS.decode_pixels, COUNT, "Larger images are not decoded but recorded `unverified`"
    )
    decode_limit_bytes: int = _setting(
        _LIMITS.decode_bytes, SIZE, "Larger files are hashed but not decoded, and recorded `unverified`"
    )
    worker_memory_bytes: int = _setting(_LIMITS.memory_bytes, SIZE, "Address space of one decode process")
    decode_seconds: float = _setting(
        _LIMITS.seconds, PERIOD, "Time for one file before its decoding is given up"
    )
    settle_seconds: float = _setting(
        0.5, SECONDS, "Quiet time after a file was closed before it is inspected"
    )
    quiet_seconds: float = _setting(3.0, SECONDS, "The same where no close was seen")
    writer_quiet_seconds: float = _setting(
        60.0, SECONDS, "The same where a writer still seems to hold the file open"
    )
    busy_seconds: float = _setting(
        600.0, PERIOD, "A file that never comes to rest is shown as busy after this"
    )
    absence_seconds: float = _setting(
        60.0, SECONDS, "Time before the second look that makes an absent file `missing`"
    )
    elsewhere_seconds: float = _setting(
        600.0, SECONDS, "Time that an absence waits for walks and readings that may find the file elsewhere"
    )
    poll_interval_seconds: float = _setting(60.0, PERIOD, "Time between two looks at a polled share")
    reconcile_interval_seconds: float = _setting(
        3600.0, PERIOD, "Time between two complete comparisons of a watched share with its record"
    )
    mass_missing_share: float = _setting(
        0.2, SHARE, "More of a share missing within an hour than this is held until confirmed"
    )
    mass_missing_files: int = _setting(50, NUMBER, "… but not when it is no more files than this")
    mass_change_share: float = _setting(
        0.2, SHARE, "More of a share with changed contents within an hour than this is one alarm"
    )
    mass_change_files: int = _setting(50, NUMBER, "… but not when it is no more files than this")
    guard_interval_seconds: float = _setting(5.0, PERIOD, "Time between two checks that a share is there")
    guard_deadline_seconds: float = _setting(
        10.0, PERIOD, "A share that does not answer for this long is hung"
    )
    cookie_seconds: float = _setting(5.0, PERIOD, "Time between two proofs that events still arrive")
    watch_mode: str = _setting(
        "auto", MODE, "How changes are noticed; `auto` decides by the kind of file system"
    )
    max_rate_bytes: int = _setting(0, SIZE, "Bytes a second that are read from shares; 0 = unlimited")
    audit_days: int = _setting(
        0,
        NUMBER,
        "Age in days at which the daemon reads a file again to verify it; 0 = it audits only when asked",
    )
    audit_rate_bytes: int = _setting(
        10_000_000, SIZE, "Bytes a second that the daemon's own audit reads; 0 = unlimited"
    )
    metrics_file: str | None = _setting(
        None, TEXT, "Where the daemon writes its numbers for Prometheus; its folder must be there"
    )
    auto_accept: tuple[Kind, ...] = _setting(
        (), KINDS, "Kinds of drift that become the new baseline by themselves"
    )

    @property
    def limits(self) -> Limits:
        """What one file may cost a decode worker."""
        return Limits(
            decode_pixels=self.decode_limit_pixels,
            decode_bytes=self.decode_limit_bytes,
            memory_bytes=self.worker_memory_bytes,
            seconds=self.decode_seconds,
        )


KEYS: Final = {key.name: key for key in dataclasses.fields(Settings)}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings, and for each key the file it came from (or ``default``)."""

    settings: Settings
    sources: Mapping[str, str]
    files: tuple[str, ...] = ()
    """The configuration files that were read, the one that wins first."""


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """Where the catalogue lies (absolute path) and who said so."""

    path: str
    source: str


# ------------------------------------------------------------------------------------------------ reading


def load(
    explicit: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    system_file: str = SYSTEM_FILE,
) -> Configuration:
    """The settings of this user: the file named by ``--config`` or ``CATALOG_CONFIG`` alone; else, key by
    key, ``$XDG_CONFIG_HOME/catalog/catalog.toml``, then ``/etc/catalog/catalog.toml``, then the default.

    Raises ConfigError for a file that was named but is not there, cannot be read, or holds what we do not
    understand.
    """
    environ = os.environ if environ is None else environ
    explicit = explicit or environ.get("CATALOG_CONFIG")
    if explicit:
        candidates = [os.path.abspath(explicit)]
    else:
        home = _xdg("XDG_CONFIG_HOME", "~/.config", environ)
        candidates = [os.path.join(home, "catalog", "catalog.toml")] if home else []
        candidates.append(system_file)
    values: dict[str, Any] = {}
    sources = dict.fromkeys(KEYS, "default")
    files = []
    for path in candidates:
        table = _read_file(path, required=bool(explicit))
        if table is None:
            continue
        files.append(path)
        for key, value in _checked(table, path).items():
            if key not in values:
                values[key] = value
                sources[key] = path
    return Configuration(Settings(**values), sources, tuple(files))


def locate(
    option: str | None,
    configuration: Configuration,
    *,
    environ: Mapping[str, str] | None = None,
    service_database: str = SERVICE_DATABASE,
) -> DatabaseLocation:
    """Which database: ``--database``, ``CATALOG_DATABASE``, ``database =`` in the configuration,
    ``$STATE_DIRECTORY``, the service's database when there is one, and last the user's own.

    Raises NotPermitted when the service's database is there but cannot be opened: a second catalogue is
    never started silently. The database itself need not exist.
    """
    environ = os.environ if environ is None else environ
    if option is not None:
        if not option:
            raise UsageError("--database needs a path")
        return DatabaseLocation(os.path.abspath(option), "--database")
    if named := environ.get("CATALOG_DATABASE"):
        return DatabaseLocation(os.path.abspath(named), "CATALOG_DATABASE")
    if configuration.settings.database:
        return DatabaseLocation(configuration.settings.database, configuration.sources["database"])
    # systemd gives a list when a unit has several state directories.
    if state := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return DatabaseLocation(os.path.join(os.path.abspath(state), DATABASE_NAME), "STATE_DIRECTORY")
    if _service_database_there(service_database):
        return DatabaseLocation(service_database, "the service's database")
    home = _xdg("XDG_DATA_HOME", "~/.local/share", environ)
    if home is None:
        raise UsageError("no home directory for the catalogue", hint="name a database with --database")
    source = "XDG_DATA_HOME" if environ.get("XDG_DATA_HOME") == home else "default"
    return DatabaseLocation(os.path.join(home, "catalog", DATABASE_NAME), source)


def _service_database_there(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise NotPermitted(
            f"the service's catalogue cannot be opened: {path}: {error.strerror}",
            hint="ask for membership of its group, or name another database with --database",
        ) from error
    os.close(descriptor)
    return True


def _xdg(variable: str, default: str, environ: Mapping[str, str]) -> str | None:
    """A base directory; the specification says that relative values are ignored."""
    value = environ.get(variable, "")
    if os.path.isabs(value):
        return value
    home = environ.get("HOME") or os.path.expanduser("~")
    return default.replace("~", home, 1) if os.path.isabs(home) else None


def _read_file(path: str, *, required: bool) -> dict[str, Any] | None:
    import tomllib

    try:
        with open(path, "rb") as stream:
            return tomllib.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        if not required:
            return None
        raise ConfigError(f"no configuration file: {path}", hint="check --config or CATALOG_CONFIG") from None
    except OSError as error:
        raise ConfigError(f"cannot read the configuration: {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a TOML file: {path}: {error}") from error


def _checked(table: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The table's values as ``Settings`` takes them; the first one that is wrong raises ConfigError."""
    values = {}
    for key, value in table.items():
        if key not in KEYS:
            raise _unknown_key(key, path)
        kind: ValueKind = KEYS[key].metadata["kind"]
        try:
            values[key] = kind.read(value)
        except ValueError:
            raise ConfigError(f"{path}: {key} = {value!r}", hint=f"expected {kind.expected}") from None
    for key in {"database", "metrics_file"} & values.keys():
        # Relative to the file that says it, so that the answer does not depend on the working directory.
        named = os.path.join(os.path.dirname(path), os.path.expanduser(values[key]))
        values[key] = os.path.normpath(named)
    return values


def _unknown_key(key: str, path: str) -> ConfigError:
    import difflib

    nearest = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else "docs/configuration.md lists the keys"
    return ConfigError(f"{path}: unknown key {key}", hint=hint)
