-- Purpose: what is known about every instruction: the source's own word, else what was found out last.
-- Grain:   instruction_id.
-- Inputs:  instructions, features.
-- Method:  a source's category, difficulty or cluster wins; `unknown` is no word. Of several descriptions the newest counts.
with newest as (
    select instruction_id, category, difficulty, cluster
    from features
    qualify row_number() over (partition by instruction_id order by created_at desc, describer) = 1
)
select
    instruction_id,
    instructions.source,
    instructions.split,
    instructions.license,
    instructions.language,
    instructions.turns,
    coalesce(nullif(instructions.category, 'unknown'), newest.category, 'unknown') as category,
    coalesce(instructions.difficulty, newest.difficulty) as difficulty,
    coalesce(instructions.cluster, newest.cluster) as cluster
from instructions
left join newest using (instruction_id)
order by instruction_id
