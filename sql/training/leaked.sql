-- Purpose: the examples that a training must not learn from, because the test set has them.
-- Grain: example_id, test_id.
-- Inputs: training_examples, the rows of training/examples; instructions.
-- Method: an example leaks if its own instruction is a test instruction, or if it begins with the first user turn of one,
--   where case and the width of white space do not count. Checked when training begins, whatever earlier filters did.
with texts as (
    select
        instruction_id,
        split,
        lower(trim(regexp_replace(conversation[1].content, '\s+', ' ', 'g'))) as text
    from instructions
),

tests as (
    select * from texts where split <> 'train'
),

openings as (
    select
        example_id,
        instruction_id,
        lower(trim(regexp_replace(
            list_filter(prompt, lambda message: message.role = 'user')[1].content, '\s+', ' ', 'g'
        ))) as text
    from training_examples
)

select
    example_id,
    openings.instruction_id,
    tests.instruction_id as test_id
from openings
inner join tests on tests.text = openings.text or tests.instruction_id = openings.instruction_id
order by example_id, test_id;
