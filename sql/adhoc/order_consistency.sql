-- Purpose: how often a judge names the same result in both orders of the answers, that is, how far position sways it.
-- Grain: judge_id, category.
-- Inputs: battles, described.
-- Variables: none.
-- Method: share of the usable battles whose two games alone name the same result.
with judged_categories as (
    select
        judge_id,
        category,
        count(order_consistent) as battles,
        count(*) filter (where order_consistent) as consistent
    from battles
    inner join described using (instruction_id)
    where winner <> 'unusable'
    group by all
)

select
    judge_id,
    category,
    battles,
    consistent,
    consistent / battles as consistency
from judged_categories
order by judge_id, category;
