-- Purpose: which contestants give the same answer, word for word.
-- Grain: contestant_a, contestant_b (sorted).
-- Inputs: responses.
-- Variables: none.
-- Method: answers to the same instruction and turn, compared without outer blanks. A pair that often agrees shares its
--   weights, or one learned the other by heart. share is of the answers that both gave; pairs without any are left out.
with answers as (
    select
        instruction_id,
        turn,
        contestant_id,
        any_value(trim(text, e' \t\r\n') order by round, stage, arena) as text
    from responses
    where text is not null
    group by all
),

pairs as (
    select
        a.contestant_id as contestant_a,
        b.contestant_id as contestant_b,
        count(*) as answers,
        count(*) filter (where a.text = b.text) as duplicates
    from answers as a
    inner join answers as b
        on b.instruction_id = a.instruction_id and b.turn = a.turn and b.contestant_id > a.contestant_id
    group by all
)

select
    contestant_a,
    contestant_b,
    answers,
    duplicates,
    duplicates / answers as share
from pairs
where duplicates > 0
order by share desc, contestant_a, contestant_b;
