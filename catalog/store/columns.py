"""Short words for the columns of the schema, and the one ``MetaData`` that all its tables belong to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True)


def key(name: str, target: str | None = None) -> Column[int]:
    """Part of a primary key of several columns, itself a reference where there is a ``target``."""
    if target is None:
        return Column(name, Integer, primary_key=True, autoincrement=False)
    reference = ForeignKey(target, deferrable=True, initially="DEFERRED")
    return Column(name, Integer, reference, primary_key=True, autoincrement=False)


def integer(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    return Column(
        name, Integer, nullable=null, server_default=None if default is None else text(str(default))
    )


def words(name: str, *, null: bool = True) -> Column[str]:
    return Column(name, Text, nullable=null)


def blob(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def reference(name: str, target: str, *, null: bool = False) -> Column[int]:
    """A foreign key, checked at the commit: one that is checked at once makes SQLite copy the pages of every
    statement with triggers, in case it fails half-way."""
    return Column(name, Integer, ForeignKey(target, deferrable=True, initially="DEFERRED"), nullable=null)


def table(name: str, *columns: Any, rowid: bool = True, autoincrement: bool = False) -> Table:
    """A STRICT table. Without ``rowid`` the primary key is the order on disk: right for narrow link tables."""
    return Table(
        name,
        metadata,
        *columns,
        sqlite_strict=True,
        sqlite_with_rowid=rowid,
        sqlite_autoincrement=autoincrement,
    )


def group_counters() -> list[Column[int]]:
    """Counters of a duplicate group, kept by triggers on ``file`` (triggers.py)."""
    return [
        integer("n_files", default=0),
        integer("n_bytes", default=0),
        integer("n_allocated", default=0),
        integer("keep_bytes", default=0),
        integer("keep_allocated", default=0),
        integer("reclaimable", default=0),
    ]
