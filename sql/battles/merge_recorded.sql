-- Purpose: merge recorded games and votes into battles of the lake.
-- Grain: instruction_id, turn, model_a, model_b, judge_id.
-- Inputs: recorded_games.
-- Parameters: $round, $stage, $arena (the partition).
-- Method: score is model_a's share of a game (1 win, 0.5 tie, 0 loss, or a preference between), null if the game is not
--   usable; points are the judge's on the scale of 1 to 10, where it gave any. Games of one judge on one pair and answer
--   are one battle, whoever was shown first. Where every game has points their means decide, as in battles/merge_games;
--   else the mean score does: above 0.5 model_a wins, below 0.5 model_b, else it is a tie. A battle is usable only if all
--   its games are, and an unusable one is never a tie. A preference itself is not kept.
--   order_consistent is known where the pair was recorded in both orders.
-- Source: ours, after battles/merge_games.
with games_in_order as (
    select
        instruction_id,
        turn,
        least(model_a, model_b) as model_a,
        greatest(model_a, model_b) as model_b,
        judge_id,
        if(model_a < model_b, score, 1 - score) as score,
        if(model_a < model_b, points_a, points_b) as points_a,
        if(model_a < model_b, points_b, points_a) as points_b,
        model_a < model_b as in_order,
        file
    from recorded_games
    where model_a <> model_b
),

pairs as (
    select
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        count(score)::integer as games,
        count(score) = count(*) as usable,
        round(avg(score), 9) as score,
        round(sum(points_a) / count(*), 9) as mean_a,
        round(sum(points_b) / count(*), 9) as mean_b,
        count(score) = count(*) and count(points_a) = count(*) and count(points_b) = count(*) as has_points,
        count(distinct sign(score - 0.5)) = 1 as same_result,
        count(distinct in_order) = 2 as in_both_orders,
        min(file) as recorded_in
    from games_in_order
    group by all
),

leads as (
    select
        *,
        if(has_points, mean_a - mean_b, score - 0.5) as lead
    from pairs
)

select
    $round::varchar as round,
    $stage::varchar as stage,
    $arena::varchar as arena,
    left(sha256(concat_ws(chr(31), instruction_id, turn, model_a, model_b, judge_id)), 32) as battle_id,
    instruction_id,
    turn,
    model_a,
    model_b,
    judge_id,
    games,
    case when has_points then mean_a end as mean_a,
    case when has_points then mean_b end as mean_b,
    case
        when not usable then 'unusable'
        when lead > 0 then 'model_a'
        when lead < 0 then 'model_b'
        else 'tie'
    end as winner,
    case when has_points then round(abs(lead), 9) end as margin,
    case when usable and in_both_orders then same_result end as order_consistent,
    recorded_in
from leads
order by instruction_id, turn, model_a, model_b, judge_id;
