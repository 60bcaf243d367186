"""The command `quantrain`, also as `python -m quantrain`."""

import sys

from ._native import main as run


def main() -> None:
    """Runs the command with the arguments of this process, and exits with its code."""
    sys.stdout.flush()
    sys.exit(run(["quantrain", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
