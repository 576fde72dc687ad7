"""Lies in $AIRFLOW_HOME/config: whoever forks a process per task imports what tasks need once, instead of each of them."""

import sys

if {"scheduler", "celery"} & {*sys.argv}:
    import arena_etl.operations.preload  # noqa: F401
