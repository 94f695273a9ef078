"""Settings, their sources, and which database they lead to."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import config
from catalog.config import KEYS, Configuration, Settings, load, locate, size
from catalog.errors import ConfigError, Exit, NotPermitted, UsageError
from catalog.terms import Kind, Limits

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
NOTHING = Configuration(Settings(), dict.fromkeys(KEYS, "default"))


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return str(tmp_path / "nowhere" / "catalog.toml")


def written(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def error_of(path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(path, text), environ={})
    assert caught.value.code is Exit.USAGE
    return str(caught.value)


# ---------------------------------------------------------------------------------------------- settings


def test_without_any_file_every_setting_is_the_default(tmp_path: Path, nowhere: str) -> None:
    loaded = load(environ={"HOME": str(tmp_path)}, system_file=nowhere)
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.files == ()


def test_defaults_are_those_of_the_design() -> None:
    settings = Settings()
    assert settings.limits == Limits()
    assert (settings.settle_seconds, settings.quiet_seconds, settings.writer_quiet_seconds) == (
        0.5,
        3.0,
        60.0,
    )
    assert (settings.mass_missing_share, settings.mass_missing_files) == (0.2, 50)
    assert settings.workers == len(os.sched_getaffinity(0))
    assert not settings.record_loader_checksums
    assert settings.auto_accept == ()


def test_the_users_file_wins_key_by_key_and_sources_say_so(tmp_path: Path) -> None:
    user = written(tmp_path / "catalog" / "catalog.toml", "workers = 3\n")
    system = written(tmp_path / "etc" / "catalog.toml", "workers = 5\nwatch_mode = 'poll'\n")
    loaded = load(environ={"XDG_CONFIG_HOME": str(tmp_path)}, system_file=system)
    assert (loaded.settings.workers, loaded.sources["workers"]) == (3, user)
    assert (loaded.settings.watch_mode, loaded.sources["watch_mode"]) == ("poll", system)
    assert loaded.sources["quiet_seconds"] == "default"
    assert loaded.files == (user, system)


def test_a_named_file_stands_alone(tmp_path: Path) -> None:
    written(tmp_path / "catalog" / "catalog.toml", "workers = 3\n")
    named = written(tmp_path / "other.toml", "quiet_seconds = 7\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "CATALOG_CONFIG": named}
    assert load(environ=environ).settings == Settings(quiet_seconds=7.0)
    optional = written(tmp_path / "optional.toml", "quiet_seconds = 8\n")
    assert load(optional, environ=environ).settings.quiet_seconds == 8.0


def test_a_relative_xdg_directory_is_ignored(tmp_path: Path, nowhere: str) -> None:
    written(tmp_path / ".config" / "catalog" / "catalog.toml", "workers = 4\n")
    loaded = load(environ={"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}, system_file=nowhere)
    assert loaded.settings.workers == 4


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file: .*gone\.toml"):
        load(str(tmp_path / "gone.toml"), environ={})


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "catalog" / "catalog.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot read the configuration: .*Is a directory"):
        load(environ={"XDG_CONFIG_HOME": str(tmp_path)})


@pytest.mark.parametrize("content", [b"workers = \n", b"workers = '\xff'\n"])
def test_what_is_not_toml_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a TOML file"):
        load(str(path), environ={})


def test_an_unknown_key_names_itself_and_the_nearest_known_one(tmp_path: Path) -> None:
    message = error_of(tmp_path / "c.toml", "setle_seconds = 1\n")
    assert message == f"{tmp_path}/c.toml: unknown key setle_seconds; did you mean settle_seconds?"
    assert "docs/configuration.md" in error_of(tmp_path / "c.toml", "zzz = 1\n")
    assert "unknown key watch" in error_of(tmp_path / "c.toml", "[watch]\nmode = 'poll'\n")


WRONG = {
    "database": ["1", "''", '"a\\u0000b"'],
    "extensions": ["'tif'", "[1]", "['']", "['.']", "['a/b']"],
    "include": ["'*.raw'", "[1]", "['']"],
    "exclude": ["'*.raw'", "{a = 1}"],
    "follow_links": ["1", "'yes'"],
    "record_loader_checksums": ["0"],
    "workers": ["0", "-1", "1.5", "true", "'2'"],
    "decode_limit_pixels": ["0", "'1MB'"],
    "decode_limit_bytes": ["-1", "true", "'2 GiBs'", "'-1'", "1.5", "'1e3'", "'5M'"],
    "worker_memory_bytes": ["'much'"],
    "decode_seconds": ["0", "nan", "inf", "-1", "'5'"],
    "settle_seconds": ["-0.1", "nan", "true"],
    "quiet_seconds": ["inf"],
    "writer_quiet_seconds": ["-1"],
    "busy_seconds": ["0"],
    "absence_seconds": ["-1"],
    "elsewhere_seconds": ["-1"],
    "poll_interval_seconds": ["0"],
    "reconcile_interval_seconds": ["0.0"],
    "mass_missing_share": ["1.1", "-0.1", "20"],
    "mass_missing_files": ["-1", "0.5"],
    "mass_change_share": ["1.1", "-0.1", "20"],
    "mass_change_files": ["-1", "0.5"],
    "guard_interval_seconds": ["0"],
    "guard_deadline_seconds": ["0"],
    "cookie_seconds": ["0"],
    "watch_mode": ["'fast'", "['poll']", "1"],
    "max_rate_bytes": ["'fast'", "-5"],
    "audit_days": ["-1", "'90d'", "1.5"],
    "audit_rate_bytes": ["-1", "'slow'"],
    "metrics_file": ["1", "''"],
    "auto_accept": ["'metadata'", "['rot']", "['broken']", "['missing']", "[1]"],
}


def test_every_key_has_wrong_values_to_refuse() -> None:
    assert set(WRONG) == set(KEYS)


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values]
)
def test_a_wrong_value_names_key_value_and_what_is_expected(tmp_path: Path, key: str, value: str) -> None:
    message = error_of(tmp_path / "c.toml", f"{key} = {value}\n")
    assert f" {key} = " in message
    assert message.endswith(f"; expected {KEYS[key].metadata['kind'].expected}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (4096, 4096),
        ("512", 512),
        ("512B", 512),
        ("500MB", 500_000_000),
        ("500 MB", 500_000_000),
        ("2GiB", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("1TB", 10**12),
    ],
)
def test_sizes_are_numbers_or_text_with_a_unit(value: object, expected: int) -> None:
    assert size(value) == expected


def test_extensions_lose_their_dot_and_their_case(tmp_path: Path) -> None:
    path = written(tmp_path / "c.toml", "extensions = ['.TIF', 'tif', 'Jpeg']\nauto_accept = ['metadata']\n")
    settings = load(path, environ={}).settings
    assert settings.extensions == ("tif", "jpeg")
    assert settings.auto_accept == (Kind.METADATA,)


def test_default_extensions_are_sorted() -> None:
    assert list(config.IMAGE_EXTENSIONS) == sorted(config.IMAGE_EXTENSIONS)


# ---------------------------------------------------------------------------------------------- database


def test_the_option_wins_over_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"CATALOG_DATABASE": "/env", "STATE_DIRECTORY": "/state"}
    found = locate("here.sqlite3", NOTHING, environ=environ)
    assert (found.path, found.source) == (f"{tmp_path}/here.sqlite3", "--database")
    with pytest.raises(UsageError):
        locate("", NOTHING, environ=environ)


def test_each_place_is_asked_in_the_order_of_the_contract(tmp_path: Path) -> None:
    service = written(tmp_path / "service" / "catalog.sqlite3", "")
    environ = {
        "CATALOG_DATABASE": "/env/c",
        "STATE_DIRECTORY": "/state/catalog:/state/other",
        "XDG_DATA_HOME": "/data",
        "HOME": "/home/somebody",
    }
    file = written(tmp_path / "c.toml", "database = '/conf/c'\n")
    configured = load(file, environ={})

    def place(configuration: Configuration, service_database: str) -> tuple[str, str]:
        found = locate(None, configuration, environ=environ, service_database=service_database)
        return found.path, found.source

    assert place(configured, service) == ("/env/c", "CATALOG_DATABASE")
    environ["CATALOG_DATABASE"] = ""  # an empty variable is an unset one
    assert place(configured, service) == ("/conf/c", file)
    assert place(NOTHING, service) == ("/state/catalog/catalog.sqlite3", "STATE_DIRECTORY")
    del environ["STATE_DIRECTORY"]
    assert place(NOTHING, service) == (service, "the service's database")
    absent = str(tmp_path / "absent" / "catalog.sqlite3")
    assert place(NOTHING, absent) == ("/data/catalog/catalog.sqlite3", "XDG_DATA_HOME")
    del environ["XDG_DATA_HOME"]
    assert place(NOTHING, absent) == ("/home/somebody/.local/share/catalog/catalog.sqlite3", "default")


def test_a_relative_database_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    path = written(tmp_path / "etc" / "c.toml", "database = '../db/c.sqlite3'\n")
    configured = load(path, environ={})
    assert locate(None, configured, environ={}).path == f"{tmp_path}/db/c.sqlite3"
    assert locate(None, configured, environ={}).source == path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp(prefix="catalog-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("private", ["folder", "file"])
def test_a_service_database_that_may_not_be_opened_stops_us(open_folder: Path, private: str) -> None:
    database = Path(written(open_folder / "state" / "catalog.sqlite3", ""))
    (database.parent if private == "folder" else database).chmod(0o000)
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65534)
    try:
        with pytest.raises(NotPermitted, match="Permission denied; ask for membership") as caught:
            locate(None, NOTHING, environ={"HOME": "/h"}, service_database=str(database))
    finally:
        if as_root:
            os.seteuid(0)
        database.parent.chmod(0o755)
    assert caught.value.code is Exit.PERMISSION


def test_a_service_database_that_is_broken_otherwise_stops_us_too(tmp_path: Path) -> None:
    loop = tmp_path / "catalog.sqlite3"
    loop.symlink_to(loop)
    with pytest.raises(NotPermitted, match="Too many levels"):
        locate(None, NOTHING, environ={"HOME": "/h"}, service_database=str(loop))


# ------------------------------------------------------------------------------------------------- docs


def test_the_document_has_one_row_for_each_key_and_tells_the_truth() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert [row[0] for row in rows] == list(KEYS)
    for name, default, expected, meaning in rows:
        key = KEYS[name]
        assert expected == key.metadata["kind"].expected, name
        assert meaning == key.metadata["meaning"], name
        if name == "extensions":
            stated = re.search(r"^```text\n(.*?)```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
            assert stated is not None
            assert tuple(stated[1].split()) == config.IMAGE_EXTENSIONS
        elif key.default is not dataclasses.MISSING:
            assert default == ("none" if key.default is None else f"`{json.dumps(key.default)}`"), name
