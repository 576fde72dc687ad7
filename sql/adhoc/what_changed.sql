-- Purpose: what changed since the release before: rows per table and round.
-- Grain: table, round; only where the number of rows differs or rows were replaced.
-- Inputs: instructions, slices, models, responses, verdicts, battles, ratings, win_rates, training_sets, training_runs
--   and promotions, now and in the schema before.
-- Variables: none; `--since RELEASE` chooses the release before.
-- Method: rows are compared whole, by a hash; a row that was changed counts as added and as removed. Instructions have
--   no round.
with current_rows as (
    select 'instructions' as "table", null as round, hash(t) as row_hash from instructions as t
    union all
    select 'slices', round, hash(t) from slices as t
    union all
    select 'models', round, hash(t) from models as t
    union all
    select 'responses', round, hash(t) from responses as t
    union all
    select 'verdicts', round, hash(t) from verdicts as t
    union all
    select 'battles', round, hash(t) from battles as t
    union all
    select 'ratings', round, hash(t) from ratings as t
    union all
    select 'win_rates', round, hash(t) from win_rates as t
    union all
    select 'training_sets', round, hash(t) from training_sets as t
    union all
    select 'training_runs', round, hash(t) from training_runs as t
    union all
    select 'promotions', round, hash(t) from promotions as t
),

earlier_rows as (
    select 'instructions' as "table", null as round, hash(t) as row_hash from before.instructions as t
    union all
    select 'slices', round, hash(t) from before.slices as t
    union all
    select 'models', round, hash(t) from before.models as t
    union all
    select 'responses', round, hash(t) from before.responses as t
    union all
    select 'verdicts', round, hash(t) from before.verdicts as t
    union all
    select 'battles', round, hash(t) from before.battles as t
    union all
    select 'ratings', round, hash(t) from before.ratings as t
    union all
    select 'win_rates', round, hash(t) from before.win_rates as t
    union all
    select 'training_sets', round, hash(t) from before.training_sets as t
    union all
    select 'training_runs', round, hash(t) from before.training_runs as t
    union all
    select 'promotions', round, hash(t) from before.promotions as t
),

counted_rows as (
    select
        "table",
        round,
        row_hash,
        sum(here)::bigint as here,
        sum(there)::bigint as there
    from (
        select "table", round, row_hash, 1 as here, 0 as there from current_rows
        union all
        select "table", round, row_hash, 0, 1 from earlier_rows
    )
    group by "table", round, row_hash
)

select
    "table",
    round,
    sum(there)::bigint as rows_before,
    sum(here)::bigint as rows_now,
    sum(greatest(here - there, 0))::bigint as added,
    sum(greatest(there - here, 0))::bigint as removed
from counted_rows
group by "table", round
having added > 0 or removed > 0
order by "table", round;
