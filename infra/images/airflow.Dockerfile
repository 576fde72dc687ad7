# Airflow with arena_etl: API server, scheduler, DAG processor, triggerer and workers are all this image.
#   docker build -f infra/images/airflow.Dockerfile -t arena-etl-airflow .
FROM apache/airflow:3.3.2-python3.11

# `train` lets a worker with a GPU train by itself; without it, training runs in pods of the trainer's image.
ARG EXTRAS=airflow,ingest,embedding,quality,openai,report,train,kubernetes

COPY --chown=airflow:0 pyproject.toml README.md LICENSE /tmp/arena-etl/
COPY --chown=airflow:0 arena_etl /tmp/arena-etl/arena_etl
COPY --chown=airflow:0 dags /tmp/arena-etl/dags
COPY --chown=airflow:0 examples /tmp/arena-etl/examples
COPY --chown=airflow:0 expectations /tmp/arena-etl/expectations
COPY --chown=airflow:0 sql /tmp/arena-etl/sql
RUN pip install --no-cache-dir "/tmp/arena-etl[${EXTRAS}]" "apache-airflow[celery,cncf-kubernetes,postgres]==${AIRFLOW_VERSION}" \
 && rm -r /tmp/arena-etl

COPY --chown=airflow:0 infra/images/airflow_local_settings.py ${AIRFLOW_HOME}/config/

# The DAGs that travel inside the package.
ENV AIRFLOW__CORE__DAGS_FOLDER=/home/airflow/.local/lib/python3.11/site-packages/arena_etl/_resources/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
