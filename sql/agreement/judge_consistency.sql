-- Purpose: does a judge agree with itself: what it says when the order of the answers is exchanged, and what sways it.
-- Grain: judge_id, category; first the row 'overall', which counts all categories.
-- Inputs: verdicts, battles, responses, instructions.
-- Parameters: none.
-- Method: parse_rate is over all games that were judged (identical answers are not). All else is over usable battles: both games parsed, so each answer was shown
--   first once and a judge without preference for a position has 0.5.
--   order_consistency: share of the battles whose two games alone name the same result; tie_rate: share that ended in a
--   tie after the merge.
--   position_preference: share of the decided games (unequal scores) that the answer shown first won.
--   length_preference: share of the decided games, of answers that differ in length, that the longer one won. Length is
--   in characters, which exist for recorded answers too. Longer answers may also be better: compare it with people's.
-- Source: Zheng et al., Judging LLM-as-a-Judge (arXiv 2306.05685), section 3.3: position and verbosity bias.
with lengths as (
    select
        instruction_id,
        turn,
        contestant_id,
        length(text) as characters
    from responses
),

games as (
    select
        verdicts.judge_id,
        instructions.category,
        verdicts.parse_status = 'ok' as parsed,
        battles.winner,
        battles.order_consistent,
        -- One of the two games of a battle stands for it.
        battles.winner <> 'unusable' and verdicts.shown_first = 'model_a' as counts_battle,
        battles.winner <> 'unusable' and verdicts.score_a <> verdicts.score_b as decided,
        (verdicts.score_a > verdicts.score_b) = (verdicts.shown_first = 'model_a') as first_won,
        answer_a.characters <> answer_b.characters as lengths_differ,
        (verdicts.score_a > verdicts.score_b) = (answer_a.characters > answer_b.characters) as longer_won
    from verdicts
    left join battles using (round, stage, arena, instruction_id, turn, model_a, model_b, judge_id)
    left join instructions using (instruction_id)
    left join lengths as answer_a
        on answer_a.instruction_id = verdicts.instruction_id
        and answer_a.turn = verdicts.turn
        and answer_a.contestant_id = verdicts.model_a
    left join lengths as answer_b
        on answer_b.instruction_id = verdicts.instruction_id
        and answer_b.turn = verdicts.turn
        and answer_b.contestant_id = verdicts.model_b
    where verdicts.parse_status <> 'identical'
),

counted_games as (
    select
        unnest(list_distinct(['overall', coalesce(category, 'overall')])) as category,
        games.* exclude (category)
    from games
),

counts as (
    select
        judge_id,
        category,
        count(*) as games,
        count(*) filter (where parsed) as parsed,
        count(*) filter (where counts_battle) as battles,
        count(*) filter (where counts_battle and order_consistent) as consistent,
        count(*) filter (where counts_battle and winner = 'tie') as ties,
        count(*) filter (where decided) as decided,
        count(*) filter (where decided and first_won) as first_wins,
        count(*) filter (where decided and lengths_differ) as decided_by_length,
        count(*) filter (where decided and lengths_differ and longer_won) as longer_wins
    from counted_games
    group by judge_id, category
)

select
    judge_id,
    category,
    games,
    parsed / games as parse_rate,
    battles,
    consistent / nullif(battles, 0) as order_consistency,
    ties / nullif(battles, 0) as tie_rate,
    decided,
    first_wins / nullif(decided, 0) as position_preference,
    decided_by_length as decided_of_unequal_length,
    longer_wins / nullif(decided_by_length, 0) as length_preference
from counts
order by judge_id, category <> 'overall', category;
