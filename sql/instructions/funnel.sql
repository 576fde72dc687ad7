-- Purpose: how many rows of each source came in, what took rows out and how many, and how many are left.
-- Grain:   one row per source and step that took rows out, beside `in`, `out` and `pending` (landed and not prepared yet).
-- Inputs:  raw_instructions, instructions, quarantine, near_duplicates, contamination.
-- Params:  none.
-- Method:  a row that was refused several times, under other rules, counts once: for the newest reason, and not at all once
--          it is in. Contaminated rows that are near-duplicates too count as contaminated. `out` is what may be drawn or, of
--          a test set, fought on. A reason that took rows out at landing and later is one step. `position` orders a source's
--          steps; reasons of one step are in the order of their counts.
with refused as (
    select
        coalesce(key::json ->> 'source', if(json_valid(row), json_extract_string(row, '$.source'), null)) as source,
        coalesce(key::json ->> 'source_id', key::json ->> 'line_sha256', if(json_valid(row), json_extract_string(row, '$.source_id'), null)) as id,
        quarantine.table = 'raw_instructions' as at_landing,
        arg_max(expectation, created_at) as reason
    from quarantine
    where quarantine.table in ('raw_instructions', 'instructions')
    group by all
),
removed as (
    select source, if(at_landing, 1, 2) as position, reason as step, count(*) as rows
    from refused
    where
        source is not null
        and if(
            at_landing,
            (source, id) not in (select (source, source_id) from raw_instructions),
            (source, id) not in (select (source, source_id) from instructions)
            and (source, id) in (select (source, source_id) from raw_instructions)
        )
    group by all
),
landed as (
    select source, count(*) as rows from raw_instructions group by source
),
prepared as (
    select source, count(*) as rows from instructions group by source
),
contaminated as (
    select distinct source, instruction_id from contamination
),
excluded as (
    select source, 4 as position, 'contaminated' as step, count(*) as rows from contaminated group by source
    union all
    select source, 5, 'near_duplicate', count(*)
    from near_duplicates
    anti join contaminated using (source, instruction_id)
    group by source
),
losses as (
    select * from removed
    union all
    select * from excluded
),
counts as (
    select
        source,
        coalesce(any_value(landed.rows), 0) as landed,
        coalesce(any_value(prepared.rows), 0) as kept,
        coalesce(sum(losses.rows) filter (position = 1), 0) as refused_at_landing,
        coalesce(sum(losses.rows) filter (position = 2), 0) as refused,
        coalesce(sum(losses.rows) filter (position > 2), 0) as excluded
    from landed
    full join prepared using (source)
    full join losses using (source)
    group by source
),
steps as (
    select source, 0 as position, 'in' as step, landed + refused_at_landing as rows from counts
    union all
    select source, min(position), step, sum(rows) from losses group by source, step
    union all
    select source, 3, 'pending', landed - refused - kept from counts where landed > refused + kept
    union all
    select source, 6, 'out', kept - excluded from counts
)
select source, position, step, rows::bigint as rows
from steps
order by source, position, rows desc, step
