-- Purpose: the instructions of a source that have no vector by a model yet, as the text that the model reads.
-- Grain:   instruction_id.
-- Inputs:  instructions, embeddings, staged_embeddings (rows of the step that an interrupted run had finished).
-- Params:  $source, $model (model id of the encoder).
-- Method:  the user's turns joined by line breaks, as the paper embeds "all instructions of a conversation" (arXiv
--          2407.10627, WizardArena). Longest first: neighbours of one length waste no padding, and memory runs out at once
--          or never.
with embedded as (
    select instruction_id
    from embeddings
    where source = $source and model = $model
    union all
    select instruction_id
    from staged_embeddings
    where model = $model
)
select
    instruction_id,
    array_to_string([turn.content for turn in conversation], chr(10)) as text
from instructions
where source = $source and instruction_id not in (select instruction_id from embedded)
order by length(text) desc, instruction_id
