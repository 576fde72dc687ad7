"""Where the published files lie that some tests read: they are not part of the project, and such tests skip without them."""

import os
from pathlib import Path

SHARED_DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
