"""``python -m catalog`` is the same as the command ``catalog``."""

from catalog.cli import main

if __name__ == "__main__":
    main()
