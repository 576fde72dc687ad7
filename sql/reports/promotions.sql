-- Purpose: whether the candidates of a round replaced the champion, and why.
-- Grain: stage.
-- Inputs: promotions.
-- Parameters: $round.
-- Method: the rows of the round as they were decided; differences and bounds are rating points.
select
    stage,
    candidate,
    champion,
    decision,
    reason,
    test,
    difference,
    lower,
    upper,
    instructions,
    length_controlled,
    checks,
    same_judges,
    decided_by
from promotions
where round = $round
order by stage;
