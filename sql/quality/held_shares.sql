-- Purpose: how much of every round is held back in quarantine.
-- Grain: round.
-- Inputs: quality_results, quarantine.
-- Parameters: $rounds (the newest ones).
-- Method: rows that are held and not released, by the rows of the newest audit of every batch of the round.
-- Source: none; bookkeeping.
with audits as (
    select
        round,
        batch,
        arg_max(rows, created_at) as rows
    from quality_results
    where round is not null and "table" not in ('watch', 'budget')
    group by round, batch
),

audited as (
    select
        round,
        sum(rows)::bigint as rows
    from audits
    group by round
),

held as (
    select
        round,
        count_if(state = 'held') - count_if(state = 'released') as held
    from quarantine
    group by round
)

select
    audited.round,
    audited.rows,
    coalesce(held.held, 0) as held,
    coalesce(held.held, 0) / nullif(audited.rows, 0) as share
from audited
left join held on held.round = audited.round
order by audited.round desc
limit $rounds;
