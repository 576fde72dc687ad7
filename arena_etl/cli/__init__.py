"""arena-etl: one verb per thing a person does. Results on stdout, progress and messages on stderr.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 stopped by a quality gate.
"""

import sys
from importlib import import_module

from arena_etl.cli.base import app
from arena_etl.cli.output import stderr
from arena_etl.errors import ArenaError

# In the order of --help; importing a module registers its verbs.
for _module in (
    "supply",
    "rounds",
    "reports",
    "ratings",
    "queries",
    "releases",
    "test_sets",
    "quality",
    "housekeeping",
):
    import_module(f"arena_etl.cli.{_module}")


def main() -> None:
    """The console script: errors without tracebacks, exit codes as in the module's docstring."""
    try:
        app()
    except ArenaError as error:
        stderr.print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        stderr.print("interrupted; run the same command again to go on")
        sys.exit(130)
    except Exception as error:
        from arena_etl.lake.storage import fault

        if (told := fault(error)) is None:
            raise
        stderr.print(f"error: {told}", markup=False)
        sys.exit(ArenaError.exit_code)
