"""The metrics as Prometheus reads them."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import ConfigError
from catalog.query.gauges import oldest_verified
from catalog.query.opening import opened
from catalog.query.status import root_statuses
from catalog.service.metrics import Counters, Metrics, families, folder_of, text, write
from catalog.terms import RootState
from tests.recordings import Shelf

CONTRACT = {
    "catalog_heartbeat_timestamp_seconds": (),
    "catalog_root_state": ("root", "state"),
    "catalog_files": ("root", "state"),
    "catalog_open_drift": ("root", "severity"),
    "catalog_backlog_files": (),
    "catalog_held_missing": ("root",),
    "catalog_uncovered_directories": ("root",),
    "catalog_overflows": (),
    "catalog_rebuilds": (),
    "catalog_last_reconcile_timestamp_seconds": ("root",),
    "catalog_oldest_verified_timestamp_seconds": ("root",),
    "catalog_inspected_bytes": (),
}
"""As Prometheus' own parser names them: without the ``_total`` of a counter."""


@pytest.fixture
def parsed() -> Callable[[str], dict[str, Any]]:
    from prometheus_client import parser

    return lambda content: {each.name: each for each in parser.text_string_to_metric_families(content)}


def shelf_with_files(folder: Path) -> Shelf:
    shelf = Shelf(folder)
    shelf.see(b"a.tif", "a")
    shelf.see(b"b.tif", "b")
    shelf.recorder.missing(shelf.row(b"b.tif"), "gone")
    shelf.roots.add(b'/an "odd" one\n')
    shelf.recorder.batch.begin()
    shelf.roots.reconciled(shelf.root_id, 1_700_000_000_123)
    shelf.recorder.commit()
    return shelf


def test_metrics_have_the_names_and_labels_of_the_contract(tmp_path: Path, parsed: Any) -> None:
    with shelf_with_files(tmp_path) as shelf, opened(shelf.database) as connection:
        found = families(
            Counters(1.5, 2, 3, 4 << 40), root_statuses(connection), 7, oldest_verified(connection)
        )
    metrics = parsed(text(found))
    assert set(metrics) == set(CONTRACT)
    for name, labels in CONTRACT.items():
        assert {tuple(sample.labels) for sample in metrics[name].samples} == {labels}, name
        kind = (
            "counter"
            if name in ("catalog_overflows", "catalog_rebuilds", "catalog_inspected_bytes")
            else "gauge"
        )
        assert metrics[name].type == kind
        assert metrics[name].documentation.endswith(".")

    def value(name: str, **labels: str) -> float:
        (sample,) = [each for each in metrics[name].samples if each.labels == labels]
        return float(sample.value)

    assert value("catalog_heartbeat_timestamp_seconds") == 1.5
    assert value("catalog_inspected_bytes") == 4 << 40
    assert value("catalog_backlog_files") == 7
    assert value("catalog_root_state", root="share", state="online") == 1
    assert value("catalog_root_state", root="share", state="hung") == 0
    assert value("catalog_files", root="share", state="present") == 1
    assert value("catalog_files", root="share", state="missing") == 1
    assert value("catalog_open_drift", root="share", severity="warning") == 1
    assert value("catalog_last_reconcile_timestamp_seconds", root="share") == 1_700_000_000.123
    assert value("catalog_oldest_verified_timestamp_seconds", root="share") > 1_700_000_000
    odd = [each.labels["root"] for each in metrics["catalog_held_missing"].samples]
    assert 'an "odd" one\\n' in odd  # a name of a share is printable


def test_each_share_is_in_exactly_one_state(tmp_path: Path) -> None:
    with shelf_with_files(tmp_path) as shelf:
        shelf.roots.set_state(shelf.roots.by_id(shelf.root_id), RootState.HUNG, "no answer")
        shelf.recorder.commit()
        with opened(shelf.database) as connection:
            found = families(Counters(0), root_statuses(connection), 0, {})
    (states,) = [family for family in found if family.name == "catalog_root_state"]
    on = [dict(sample.labels)["state"] for sample in states.samples if sample.value]
    assert sorted(on) == ["hung", "online"]


def test_file_is_readable_by_all_and_replaced_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "catalog.prom")
    before = os.umask(0o077)
    try:
        write(path, "one 1\n")
        with open(path) as reader:
            write(path, "two 2\n")
            assert reader.read() == "one 1\n"  # who had begun to read reads on
    finally:
        os.umask(before)
    assert Path(path).read_text() == "two 2\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    assert os.listdir(tmp_path) == ["catalog.prom"]


def test_folder_that_is_not_there_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    assert folder_of(str(tmp_path / "x.prom")) == str(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        folder_of(str(tmp_path / "nowhere" / "x.prom"))


def test_nothing_is_written_into_a_share_and_trouble_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Shelf(tmp_path / "home") as shelf:
        inside = tmp_path / "in-share"
        inside.mkdir()
        shelf.roots.add(os.fsencode(inside))
        metrics = Metrics(str(inside / "catalog.prom"), shelf.database)
        with opened(shelf.database) as connection:
            metrics._once(connection)
            metrics._once(connection)
    assert os.listdir(inside) == []
    assert [record.message for record in caplog.records] == [
        f"the metrics cannot be written: {inside}/catalog.prom lies inside the share in-share: not written"
    ]


def test_a_link_in_a_share_that_leads_out_of_it_is_not_replaced(tmp_path: Path) -> None:
    with Shelf(tmp_path / "home") as shelf:
        inside, outside = tmp_path / "in-share", tmp_path / "outside.prom"
        inside.mkdir()
        link = inside / "catalog.prom"
        link.symlink_to(outside)
        shelf.roots.add(os.fsencode(inside))
        with opened(shelf.database) as connection:
            Metrics(str(link), shelf.database)._once(connection)
    assert link.is_symlink()
    assert not outside.exists()


def test_thread_goes_on_after_an_error_and_ends_when_told(tmp_path: Path, eventually: Any) -> None:
    path = tmp_path / "out" / "catalog.prom"
    with shelf_with_files(tmp_path) as shelf:
        metrics = Metrics(str(path), shelf.database, every_seconds=0.01)
        try:
            metrics.start()
            eventually(lambda: metrics._trouble is not None)
            path.parent.mkdir()
            eventually(path.exists)
            metrics.counters = Counters(12.0)
            eventually(lambda: "catalog_heartbeat_timestamp_seconds 12\n" in path.read_text())
        finally:
            metrics.stop()
    with sqlite3.connect(shelf.database) as connection:  # nobody holds it open
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
