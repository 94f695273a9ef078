"""Alembic's entry: the store hands over an open ``BEGIN IMMEDIATE`` transaction, and commits it itself."""

from alembic import context

from catalog.store.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("migrations run from the program: catalog db upgrade")

# transactional_ddl: Alembic believes that SQLite has none, and would commit between two migrations.
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=True,
)
context.run_migrations()
