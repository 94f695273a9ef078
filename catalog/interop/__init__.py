"""What others read and write: manifests, tables, preservation metadata."""
