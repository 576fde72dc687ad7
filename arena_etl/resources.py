"""Where the files that travel with the package lie: in the wheel, or at the top level of a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_BUNDLED = _PACKAGE / "_resources"
_ROOT = _BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent

SQL = _ROOT / "sql"
EXPECTATIONS = _ROOT / "expectations"
EXAMPLES = _ROOT / "examples"
DAGS = _ROOT / "dags"
