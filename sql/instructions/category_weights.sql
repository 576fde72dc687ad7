-- Purpose: how much more often the draw takes a category because the target lost in it.
-- Grain:   category.
-- Inputs:  battles, models, described.
-- Params:  $target (name of the configured target; its promoted descendants are its family), $round (battles of earlier rounds
--          count), $loss_weight.
-- Method:  1 + $loss_weight x share of the target's battles in the category that it lost, a tie being half a loss. Battles
--          between two of the family say nothing, unusable ones neither. A category without battles has no row: weight 1.
--          Sums are of halves, so exact in any order.
with family as (
    select distinct contestant_id
    from models
    where family = $target
),
sides as (
    select instruction_id, model_a as contestant_id, model_b as opponent, winner = 'model_b' as lost, winner
    from battles
    where round < $round
    union all
    select instruction_id, model_b, model_a, winner = 'model_a', winner
    from battles
    where round < $round
),
fought as (
    select category, case when winner = 'tie' then 0.5 when lost then 1 else 0 end::double as loss
    from sides
    semi join family using (contestant_id)
    inner join described using (instruction_id)
    where winner in ('model_a', 'model_b', 'tie') and opponent not in (select contestant_id from family)
)
select category, 1 + $loss_weight::double * avg(loss) as weight
from fought
group by category
order by category
