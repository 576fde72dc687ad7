-- Purpose: the games that a judge still owes an arena, with everything that it has to see.
-- Grain: instruction_id, turn: what was said up to this turn, and the games on it that have no verdict yet.
-- Inputs: shard and standing_answers, the rows of verdicts/shard and verdicts/standing_answers; verdicts (of all partitions), staged
--   (verdicts that wait for their audit), pairs (model_a, model_b: contestant_ids, model_a sorts before model_b).
-- Parameters: $round, $stage, $arena (the partition); $judge_id; $checked (true: turns with a checker, false: those without,
--   null: all).
-- Method: every pair of answers to a turn makes two games, each answer shown first once. A game has its verdict when the same
--   judge (its id holds model, prompt and decoding) saw the same two answers (response_ids, which hold the dialogue before
--   them) in the same order; in its own partition, a verdict without anything to judge (engine_error, missing_response) is
--   tried again. Games of one instruction come together, those that show the same answer first next to each other: they
--   share the longest prefix.
--   texts of an answer are null where an earlier turn or this one has no answer.
-- Source: Arena Learning (arXiv 2407.10627), section 3.2: all pairs, both orders.
with turns as (
    select
        instruction_id,
        category,
        conversation,
        reference,
        turn,
        -- The list has a JSON null for a turn without a checker.
        nullif(json_extract(checker, '$[' || (turn - 1) || ']')::varchar, 'null') as checker
    from shard
    cross join lateral (select unnest(range(1, len(conversation) + 1)) as turn)
),

items as (
    select
        instruction_id,
        turn,
        category,
        [each.content for each in conversation[:turn]] as instructions,
        reference[turn] as reference,
        checker
    from turns
    where $checked::boolean is null or $checked = (checker is not null)
),

answers as materialized (
    select
        answer.instruction_id,
        answer.contestant_id,
        answer.turn,
        any_value(answer.response_id) as response_id,
        list(earlier.text order by earlier.turn) as texts
    from standing_answers as answer
    inner join standing_answers as earlier
        on earlier.instruction_id = answer.instruction_id
        and earlier.contestant_id = answer.contestant_id
        and earlier.turn <= answer.turn
    group by all
),

games as (
    select
        items.instruction_id,
        items.turn,
        pairs.model_a,
        pairs.model_b,
        unnest(['model_a', 'model_b']) as shown_first,
        a.response_id as response_a,
        b.response_id as response_b
    from items
    cross join pairs
    inner join answers as a
        on a.instruction_id = items.instruction_id and a.turn = items.turn and a.contestant_id = pairs.model_a
    inner join answers as b
        on b.instruction_id = items.instruction_id and b.turn = items.turn and b.contestant_id = pairs.model_b
),

judged as (
    select
        response_a,
        response_b,
        shown_first
    from (select * from verdicts union all by name select * from staged)
    where
        judge_id = $judge_id
        and (
            parse_status not in ('engine_error', 'missing_response')
            or (round, stage, arena) <> ($round::varchar, $stage::varchar, $arena::varchar)
        )
),

due as (
    select
        instruction_id,
        turn,
        list(
            struct_pack(model_a, model_b, shown_first, response_a, response_b)
            order by if(shown_first = 'model_a', model_a, model_b), if(shown_first = 'model_a', model_b, model_a)
        ) as games
    from games
    anti join judged using (response_a, response_b, shown_first)
    group by all
),

shown as (
    select
        instruction_id,
        turn,
        list(struct_pack(contestant_id, texts) order by contestant_id) as answers
    from answers
    group by all
)

select
    instruction_id,
    turn,
    category,
    instructions,
    reference,
    checker,
    answers,
    games
from items
inner join due using (instruction_id, turn)
inner join shown using (instruction_id, turn)
order by instruction_id, turn;
