"""Running the pipeline day by day: checks, status, configuration template, what Airflow's tasks call."""
