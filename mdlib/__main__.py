"""`python -m mdlib` is `mdlib`."""

from mdlib.cli import main

main()
