-- Purpose: merge the two games of every pair (each answer shown first once) into one battle.
-- Grain: instruction_id, turn, model_a, model_b, judge_id; of one partition.
-- Inputs: verdicts.
-- Parameters: $round, $stage, $arena (the partition).
-- Method: a battle is usable if and only if both orders are there and both parsed; otherwise it is kept as 'unusable'
--   and never counts as a tie. A pair of identical answers was not judged: it is a tie without scores. The winner has the larger sum of scores over both games, a tie is an equal sum. The
--   judge is consistent when both games alone name the same result.
-- Source: Arena Learning (arXiv 2407.10627): every pair is judged twice with the order swapped; the merge
--   rule is ours, the paper gives none.
with games as (
    select
        *,
        parse_status = 'ok' and score_a is not null and score_b is not null as parsed
    from verdicts
    where round = $round and stage = $stage and arena = $arena
),

pairs as (
    select
        round,
        stage,
        arena,
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        count_if(parsed)::integer as games,
        count_if(parse_status = 'identical') = 2 as identical,
        count_if(parsed and shown_first = 'model_a') = 1
        and count_if(parsed and shown_first = 'model_b') = 1 as usable,
        -- Decimal fractions such as 7.3 have no exact binary sum: rounding makes equal sums equal.
        round(sum(score_a) filter (where parsed), 9) as sum_a,
        round(sum(score_b) filter (where parsed), 9) as sum_b,
        count(distinct sign(score_a - score_b)) filter (where parsed) = 1 as same_result
    from games
    group by all
)

select
    round,
    stage,
    arena,
    left(sha256(concat_ws(chr(31), instruction_id, turn, model_a, model_b, judge_id)), 32) as battle_id,
    instruction_id,
    turn,
    model_a,
    model_b,
    judge_id,
    games,
    case when usable then sum_a / 2 end as mean_a,
    case when usable then sum_b / 2 end as mean_b,
    case
        when identical then 'tie'
        when not usable then 'unusable'
        when sum_a > sum_b then 'model_a'
        when sum_a < sum_b then 'model_b'
        else 'tie'
    end as winner,
    case when usable then round(abs(sum_a - sum_b), 9) / 2 end as margin,
    case when usable then same_result end as order_consistent,
    null::varchar as recorded_in
from pairs
order by instruction_id, turn, model_a, model_b, judge_id;
