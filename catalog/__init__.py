"""A cataloguing daemon for image shares that knows changed bytes from changed pixels."""

__version__ = "0.1.0"
