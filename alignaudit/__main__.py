"""Run the command line with ``python -m alignaudit``."""

from alignaudit.cli.main import entry_point

if __name__ == "__main__":
    entry_point()
