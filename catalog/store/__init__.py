"""The catalogue file: schema, connections, lock, migrations. Knows no images."""
