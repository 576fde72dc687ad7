-- Purpose: the games that a judge is asked again, to see whether it still judges as it did.
-- Grain: instruction_id, model_a, model_b, shown_first.
-- Inputs: verdicts, responses, instructions.
-- Parameters: $judge_id, $size.
-- Method: the games of the first round that the judge judged, first turns only, in the order of their MD5 digests: the sample stays the
--   same while later rounds come.
-- Source: none; bookkeeping.
with first_round as (
    select *
    from verdicts
    where judge_id = $judge_id and judge_kind = 'model' and parse_status = 'ok' and turn = 1
    qualify round = min(round) over ()
)

select
    first_round.instruction_id,
    first_round.model_a,
    first_round.model_b,
    first_round.shown_first,
    first_round.score_a,
    first_round.score_b,
    instructions.conversation[1].content as instruction,
    instructions.category,
    instructions.reference[1] as reference,
    a.text as text_a,
    b.text as text_b
from first_round
inner join instructions on instructions.instruction_id = first_round.instruction_id
inner join responses as a on a.response_id = first_round.response_a
inner join responses as b on b.response_id = first_round.response_b
order by
    md5(concat_ws('|', first_round.instruction_id, first_round.model_a, first_round.model_b, first_round.shown_first)),
    first_round.instruction_id,
    first_round.model_a,
    first_round.model_b,
    first_round.shown_first
limit $size;
