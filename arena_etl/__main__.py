"""``python -m arena_etl`` is ``arena-etl``."""

from arena_etl.cli import main

main()
