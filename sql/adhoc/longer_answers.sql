-- Purpose: whether the longer answer wins: length preference of each judge, by category.
-- Grain: judge_id, category.
-- Inputs: battles, responses, described.
-- Variables: none.
-- Method: decided battles whose answers differ in length (characters). One half is no preference; more may also mean that
--   longer answers are better. The lengths are means over the winning and the losing answers.
with answers as (
    select
        instruction_id,
        turn,
        contestant_id,
        any_value(length(text) order by round, stage, arena) as characters
    from responses
    group by all
),

decided_battles as (
    select
        battles.judge_id,
        battles.instruction_id,
        if(winner = 'model_a', a.characters, b.characters) as winner_characters,
        if(winner = 'model_a', b.characters, a.characters) as loser_characters
    from battles
    inner join answers as a
        on a.instruction_id = battles.instruction_id and a.turn = battles.turn and a.contestant_id = battles.model_a
    inner join answers as b
        on b.instruction_id = battles.instruction_id and b.turn = battles.turn and b.contestant_id = battles.model_b
    where battles.winner in ('model_a', 'model_b') and a.characters <> b.characters
),

categories as (
    select
        judge_id,
        category,
        count(*) as battles,
        count(*) filter (where winner_characters > loser_characters) as longer_wins,
        round(avg(winner_characters), 9) as mean_winner_characters,
        round(avg(loser_characters), 9) as mean_loser_characters
    from decided_battles
    inner join described using (instruction_id)
    group by all
)

select
    judge_id,
    category,
    battles,
    longer_wins,
    longer_wins / battles as longer_win_rate,
    mean_winner_characters,
    mean_loser_characters
from categories
order by judge_id, category;
