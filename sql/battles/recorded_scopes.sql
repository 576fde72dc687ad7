-- Purpose: the usable battles of loose files, once for every scope that they count in: what ratings read.
-- Grain: scope, position.
-- Inputs: recorded_battles.
-- Parameters: none. Made a view, as recorded_battles is; therefore without ORDER BY.
-- Method: all battles are in 'overall'; those with a value in the column chosen for scopes are also in
--   'overall/<column>=<value>'.
with usable_battles as (
    select *
    from recorded_battles
    where reason is null
)

select
    'overall' as scope,
    position,
    instruction_id,
    model_a,
    model_b,
    score,
    length_a,
    length_b,
    headers_a,
    headers_b,
    bold_a,
    bold_b,
    lists_a,
    lists_b
from usable_battles
union all
select
    'overall/' || subscope,
    position,
    instruction_id,
    model_a,
    model_b,
    score,
    length_a,
    length_b,
    headers_a,
    headers_b,
    bold_a,
    bold_b,
    lists_a,
    lists_b
from usable_battles
where subscope is not null;
