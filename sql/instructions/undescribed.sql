-- Purpose: the instructions of a source that have no features by a describer yet, with all that the features follow from.
-- Grain:   instruction_id.
-- Inputs:  instructions, embeddings, features, staged_features (rows of the step that an interrupted run had finished).
-- Params:  $source, $model (encoder), $describer, $difficulty_by, $category_by (who says it now where the source does not).
-- Method:  what the same rater or estimate said before under other clusters is taken over: nobody is asked twice. A rater's
--          answer that could not be read counts as no answer then. Order: instruction_id.
with described as (
    select instruction_id
    from features
    where source = $source and describer = $describer
    union all
    select instruction_id
    from staged_features
    where describer = $describer
),
earlier as (
    select instruction_id, difficulty, category
    from features
    where
        source = $source
        and describer <> $describer
        and difficulty_by in ($difficulty_by, 'source')
        and category_by in ($category_by, 'source')
        and error is null
    qualify row_number() over (partition by instruction_id order by created_at desc, describer) = 1
)
select
    instruction_id,
    [turn.content for turn in conversation] as turns,
    vector,
    instructions.difficulty,
    nullif(instructions.category, 'unknown') as category,
    earlier.difficulty as earlier_difficulty,
    earlier.category as earlier_category
from instructions
left join earlier using (instruction_id)
left join embeddings on
    embeddings.instruction_id = instructions.instruction_id
    and embeddings.source = $source
    and embeddings.model = $model
where instructions.source = $source and instruction_id not in (select instruction_id from described)
order by instruction_id
