# What trains in a Kubernetes pod (`launch.where: kubernetes`): the training room, the lake, and torch with its CUDA libraries.
#   docker build -f infra/images/trainer.Dockerfile -t arena-etl-trainer .
FROM python:3.11-slim

COPY pyproject.toml README.md LICENSE /tmp/arena-etl/
COPY arena_etl /tmp/arena-etl/arena_etl
COPY dags /tmp/arena-etl/dags
COPY examples /tmp/arena-etl/examples
COPY expectations /tmp/arena-etl/expectations
COPY sql /tmp/arena-etl/sql
RUN pip install --no-cache-dir "/tmp/arena-etl[train]" \
 && rm -r /tmp/arena-etl
# `accelerate launch --config_file /infra/accelerate/fsdp.yaml` as launch.command.
COPY infra/accelerate /infra/accelerate

RUN useradd --create-home arena
USER arena
