"""One round of the Arena Learning flywheel, every night.

Ingest the configured sources, then per stage (SFT, DPO, PPO where configured): draw fresh instructions, let the
champion and its rivals answer them, judge every pair twice, select what the champion should learn from, train a candidate,
let it fight on the held-out WizardArena and promote it if it is shown to be better. At the end: ratings, win rates, one
release, a report.

**Round.** The parameter `round`, else the run's partition key, else its logical date. A finished round changes nothing
when it runs again; a failed one goes on where it stopped: clear the failed task, or trigger the same round again.

**Audits.** A step stages its rows where no reader sees them; the `audit_*` task after it publishes them. An audit that
fails for a quality gate is final: see `quality_results` and `quarantine` in the lake, then clear the step; or override the
gate once with `arena-etl VERB --accept TABLE --reason ...` and clear the audit.

**Stopped or failed.** `alert` and `gates` run whatever happened before them. `alert` tells people what is new. `gates` fails
if, and only if, a quality gate stopped the round: a failed run with a good `gates` broke down for another reason.

**Pools.** Answers take a slot of `gpu`, verdicts one of `judge_api`: `infra/pools.json`, one each where models run on this
machine. With a server behind them, raise the slots and `battles.shards`. On Kubernetes, `gpu_pod_template` gives the tasks that
answer a pod with a GPU.

**Graph.** It follows the configuration (`ARENA_CONFIG`, else `arena.yaml`): its sources and its stages.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined]  # not in its stub
    CronPartitionTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    SyncCallback,
    TriggerRule,
    chain,
    dag,
    get_current_context,
    task,
    task_group,
)

from arena_etl import config
from arena_etl.operations import tasks
from arena_etl.operations.task_groups import DEFAULT_ARGS, audit, ingest_sources, perform, publishing, step
from arena_etl.rounds import TRAINING, WIZARD_ARENA

CONFIG = config.load()
ROUND = "{{ ti.xcom_pull(task_ids='resolve_round') }}"


@task
def resolve_round() -> str:
    return tasks.resolve_round(get_current_context())


plan = task(tasks.step_units)
release = publishing("releases", tasks.publish_release).override(task_id="release")
report = task(task_id="report")(tasks.write_reports)
alert = task(task_id="alert", trigger_rule=TriggerRule.ALL_DONE)(tasks.send_alerts)
gates = task(task_id="gates", trigger_rule=TriggerRule.ALL_DONE)(tasks.check_gates)


def mapped_step(name: str, table: str, pool: str, *keys: str) -> list[Any]:
    """The same with one task per unit, as many at a time as the pool has slots; one that fails does not stop the others."""
    units = plan.override(task_id=f"plan_{name}")(name, keys)
    template = CONFIG.gpu_pod_template if pool == "gpu" else None
    mapped = perform.override(
        task_id=name,
        pool=pool,
        map_index_template="{{ task.op_kwargs['unit'] }}",
        executor_config={"pod_template_file": template} if template else None,
    )
    done = mapped.partial(name=name, keys=keys).expand(unit=units)
    return [units, done, audit(name, table, *keys)]


@task_group
def battles(*keys: str) -> None:
    chain(
        *mapped_step("generate", "responses", "gpu", *keys),
        *mapped_step("judge", "verdicts", "judge_api", *keys),
        *step("merge", "battles", *keys),
    )


@task_group
def reward_model() -> None:
    chain(*step("select", "training_sets", ROUND, "rm"), *step("train", "training_runs", ROUND, "rm"))


@task_group
def stage(name: str) -> None:
    chain(
        *step("draw", "slices", ROUND, name),
        battles.override(group_id="training_battles")(ROUND, name, TRAINING),
        *([reward_model()] if name == "ppo" else []),
        *step("select", "training_sets", ROUND, name),
        *step("train", "training_runs", ROUND, name),
        *step("register", "models", ROUND, name),
        battles.override(group_id="wizard_arena")(ROUND, name, WIZARD_ARENA),
        *step("promote", "promotions", ROUND, name),
    )


@dag(
    schedule=CronPartitionTimetable(CONFIG.schedule, timezone="UTC", run_offset=0, key_format="%Y-%m-%d"),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=CONFIG.watch.released_by_hours),
        callback=SyncCallback(tasks.tell_of_lateness),
    ),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params={
        "round": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}-\d{2}$",
            description="UTC date of the round. Empty: the run's partition key, else its logical date.",
        )
    },
    tags=["arena-etl"],
    doc_md=__doc__,
)
def arena_flywheel() -> None:
    sources = ingest_sources(CONFIG)
    stages = [stage.override(group_id=name)(name) for name in CONFIG.stages]
    rated, won = step("rate", "ratings", ROUND), step("win_rates", "win_rates", ROUND)
    released = release(ROUND, "{{ run_id }}")
    chain(resolve_round(), *sources, *step("plan", "plans", ROUND), *stages)
    for branch in (rated, won):
        chain(stages[-1], *branch, released)
    chain(released, report(ROUND))
    chain(
        released, alert(ROUND), gates(ROUND)
    )  # beside the report: what failed before it fails the run through the report


arena_flywheel()
