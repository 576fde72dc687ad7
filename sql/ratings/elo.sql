-- Purpose: online Elo ratings of every model of every scope.
-- Grain: scope, model.
-- Inputs: scoped_battles.
-- Parameters: $round (label of the rows), $k, $scale, $base, $initial, $anchor (a model, or null) and $anchor_rating.
-- Method: all start at $initial. Battle by battle, the expected score of A is 1 / (1 + base ^ ((R_b - R_a) / scale));
--   A gains k * (score - expected) and B loses as much; a tie scores one half. Online Elo depends on the order of the
--   battles: they are played by position, which is unique within a scope. The state is a list with one rating per model,
--   folded over the list of games. An anchor moves the whole scope after the last battle.
--   Prefer Bradley-Terry for models that do not change: online Elo weighs late battles more and gives no interval.
-- Source: Elo, The Rating of Chessplayers (1978); K = 4, scale 400, base 10, start 1000 as in LMSYS' elo_analysis.py.
with models as (
    select
        scope,
        model,
        count(*) as n,
        row_number() over (partition by scope order by model) as number
    from (select scope, unnest([model_a, model_b]) as model from scoped_battles)
    group by scope, model
),

-- The model with the smaller number first, and its score.
games as (
    select
        scope,
        list(
            {
                'low': least(a.number, b.number),
                'high': greatest(a.number, b.number),
                'score': if(a.number < b.number, score, 1 - score)
            }
            order by position
        ) as played
    from scoped_battles
    inner join models as a using (scope)
    inner join models as b using (scope)
    where a.model = model_a and b.model = model_b
    group by scope
),

starts as (
    select
        scope,
        list($initial::double) as ratings
    from models
    group by scope
),

-- Cutting and joining the list costs a third of a lambda over all ratings, whatever their number.
final_states as (
    select
        scope,
        list_reduce(
            played,
            lambda ratings, game: list_concat(
                ratings[:game.low - 1],
                [ratings[game.low] + $k::double * (game.score - 1 / (1 + pow(
                    $base::double, (ratings[game.high] - ratings[game.low]) / $scale::double
                )))],
                ratings[game.low + 1:game.high - 1],
                [ratings[game.high] - $k::double * (game.score - 1 / (1 + pow(
                    $base::double, (ratings[game.high] - ratings[game.low]) / $scale::double
                )))],
                ratings[game.high + 1:]
            ),
            ratings
        ) as ratings
    from games
    inner join starts using (scope)
),

rated_models as (
    select
        scope,
        model,
        n,
        ratings[number] as rating
    from models
    inner join final_states using (scope)
),

anchors as (
    select
        scope,
        $anchor_rating::double - rating as shift
    from rated_models
    where model = $anchor::varchar
)

select
    $round::varchar as round,
    scope,
    model,
    'elo' as method,
    rating + coalesce(shift, 0) as rating,
    null::double as log_strength,
    null::double as lower,
    null::double as upper,
    rank() over (partition by scope order by round(rating, 6) desc)::integer as rank,
    null::integer as rank_lower,
    null::integer as rank_upper,
    n,
    null::boolean as converged,
    null::integer as component,
    null::varchar as flag
from rated_models
left join anchors using (scope)
order by scope, rank, model;
