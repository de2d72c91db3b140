"""`python -m piranha` is the command `piranha`."""

from piranha.cli.main import main

main()
