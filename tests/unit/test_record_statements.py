"""The hot statements against the tables, which recording itself does not import."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import insert
from sqlalchemy.dialects.sqlite import dialect

from catalog.record.batch import _COUNTED_IDS
from catalog.record.statements import ORDER
from catalog.store.schema import metadata


@pytest.mark.parametrize("name", ORDER)
def test_a_hot_statement_is_what_sqlalchemy_would_write_for_its_table(name: str) -> None:
    columns = re.search(r"\((.*?)\)", ORDER[name])
    assert columns is not None
    table = metadata.tables[name]
    values = {table.c[column]: None for column in columns[1].split(", ")}
    compiled = insert(table).values(values).compile(dialect=dialect(paramstyle="qmark"))
    written = re.sub(r"^INSERT OR (IGNORE|ROLLBACK) INTO", "INSERT INTO", ORDER[name])
    assert written == str(compiled).replace('"', "")  # it quotes what is a word of SQL in other databases


@pytest.mark.parametrize("name", _COUNTED_IDS)
def test_ids_are_counted_by_the_primary_key(name: str) -> None:
    (key,) = metadata.tables[name].primary_key.columns
    assert f"max({key.name})" in _COUNTED_IDS[name]
    assert _COUNTED_IDS[name].endswith(f" FROM {name}")
