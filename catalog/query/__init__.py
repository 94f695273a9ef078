"""Read-only questions to the catalogue: frozen values out, in bounded memory, never waiting for a writer."""
