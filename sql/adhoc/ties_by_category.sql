-- Purpose: where battles end without a winner.
-- Grain: judge_id, category.
-- Inputs: battles, described.
-- Variables: none.
-- Method: share of ties among the usable battles. swayed counts the ties in which the two orders name different results,
--   so that they cancel out; the others are ties in both orders.
with categories as (
    select
        judge_id,
        category,
        count(*) as battles,
        count(*) filter (where winner = 'tie') as ties,
        count(*) filter (where winner = 'tie' and not order_consistent) as swayed
    from battles
    inner join described using (instruction_id)
    where winner in ('model_a', 'model_b', 'tie')
    group by all
)

select
    judge_id,
    category,
    battles,
    ties,
    swayed,
    ties / battles as tie_rate
from categories
order by judge_id, tie_rate desc, category;
