-- Purpose: the units that intervals resample: whole instructions, because battles on one instruction are not independent.
-- Grain: scope, instruction_id.
-- Inputs: scoped_battles.
-- Parameters: $max_clusters (a scope with more instructions is resampled in so many groups of them), $resamples (0: nothing
--   will be resampled, no rows).
-- Method: every instruction is a cluster of its own. Beyond $max_clusters instructions are grouped by a digest of their id
--   into as many clusters: resampling groups of clusters is as valid, and its cost stays the same as a lake grows.
--   Numbers are unique over all scopes, and within a scope consecutive in the order of the ids.
-- Source: cluster bootstrap, Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
with instructions_of_scope as (
    select
        scope,
        instruction_id,
        count(*) over (partition by scope) as instructions
    from (select distinct scope, instruction_id from scoped_battles where $resamples > 0)
),

units as (
    select
        scope,
        instruction_id,
        case
            when instructions <= $max_clusters then instruction_id
            else lpad((md5_number_lower(instruction_id) % $max_clusters)::varchar, 20, '0')
        end as unit
    from instructions_of_scope
)

select
    scope,
    instruction_id,
    (dense_rank() over (order by scope, unit))::integer as cluster
from units
order by scope, instruction_id;
