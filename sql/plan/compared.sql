-- Purpose: the plan of a round beside what it did.
-- Grain: stage, arena, kind (response or verdict), name (of the contestant or judge).
-- Inputs: plans, models; actual, the rows of plan/actual.
-- Parameters: $round.
-- Method: what was done before the plan was made is in neither. Plans name contestants, calls have their ids: a candidate is
--   the contestant that the round and stage trained, a judge is named as its id begins. Calls of models that were not
--   planned (another champion) are rows with a planned count of null.
-- Source: none; bookkeeping.
with planned as (
    select * from plans where round = $round
),

named as (
    select
        actual.stage,
        actual.arena,
        actual.kind,
        case
            when actual.kind = 'verdict' then regexp_replace(actual.name, '-[0-9a-z]+$', '')
            when models.role = 'candidate' and models.round = $round and models.name like '%-' || actual.stage
                and actual.arena = 'wizard_arena' then 'candidate'
            else coalesce(models.name, actual.name)
        end as name,
        sum(actual.calls)::bigint as calls,
        sum(actual.tokens_in)::bigint as tokens_in,
        sum(actual.tokens_out)::bigint as tokens_out,
        sum(actual.cost_usd) as cost_usd,
        sum(actual.seconds) / 3600 as hours
    from actual
    left join models on models.contestant_id = actual.name
    group by all
)

select
    stage,
    arena,
    kind,
    name,
    planned.calls as planned_calls,
    named.calls as actual_calls,
    planned.tokens_in + planned.tokens_out as planned_tokens,
    named.tokens_in + named.tokens_out as actual_tokens,
    planned.cost_usd as planned_usd,
    named.cost_usd as actual_usd,
    planned.hours as planned_hours,
    named.hours as actual_hours,
    named.tokens_out / nullif(named.hours * 3600, 0) as tokens_per_s
from planned
full join named using (stage, arena, kind, name)
order by stage, arena, kind, name;
