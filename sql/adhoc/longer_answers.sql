-- Purpose: whether the longer answer wins: length preference of each judge, by category.
-- Grain: judge_id, category.
-- Inputs: battles, described.
-- Variables: none.
-- Method: decided battles whose answers differ in length (characters). One half is no preference; more may also mean that
--   longer answers are better. The lengths are means over the winning and the losing answers.
with decided_battles as (
    select
        judge_id,
        instruction_id,
        if(winner = 'model_a', length_a, length_b) as winner_characters,
        if(winner = 'model_a', length_b, length_a) as loser_characters
    from battles
    where winner in ('model_a', 'model_b') and length_a <> length_b
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
