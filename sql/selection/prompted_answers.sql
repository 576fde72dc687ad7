-- Purpose: every answer of a stage with the prompt that it was given to.
-- Grain: instruction_id, turn, contestant_id.
-- Inputs: responses, instructions; of one round and stage, arena 'training'.
-- Parameters: $round, $stage.
-- Method: the prompt is the history that the answer was given in: the user's turns so far, with the contestant's own
--   earlier answers in between. It is null where that history has a gap because an earlier answer failed. Without text
--   there is no answer.
with answers as (
    select
        instruction_id,
        turn,
        contestant_id,
        text
    from responses
    where round = $round and stage = $stage and arena = 'training' and text is not null
),

messages as (
    select
        answers.instruction_id,
        answers.turn,
        answers.contestant_id,
        2 * asked.turn - 1 as position,
        {'role': 'user', 'content': instructions.conversation[asked.turn].content} as message
    from answers
    inner join instructions using (instruction_id)
    cross join lateral (select unnest(range(1, answers.turn + 1)) as turn) as asked
    union all
    select
        answers.instruction_id,
        answers.turn,
        answers.contestant_id,
        2 * earlier.turn,
        {'role': 'assistant', 'content': earlier.text}
    from answers
    inner join answers as earlier
        on earlier.instruction_id = answers.instruction_id
        and earlier.contestant_id = answers.contestant_id
        and earlier.turn < answers.turn
),

prompts as (
    select
        instruction_id,
        turn,
        contestant_id,
        case when count(*) = 2 * turn - 1 then list(message order by position) end as prompt
    from messages
    group by instruction_id, turn, contestant_id
)

select
    instruction_id,
    turn,
    contestant_id,
    prompt,
    text
from prompts
inner join answers using (instruction_id, turn, contestant_id)
order by instruction_id, turn, contestant_id;
