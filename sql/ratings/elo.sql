-- Purpose: online Elo ratings of every model of a scope after a round.
-- Grain: model.
-- Inputs: battles.
-- Parameters: $round (last round that counts), $scope (arena), $k, $scale, $base, $initial.
-- Method: all start at $initial. Battle by battle, the expected score of A is 1 / (1 + base ^ ((R_b - R_a) / scale));
--   A gains k * (score - expected) and B loses as much; a tie scores one half. Online Elo depends on the order of the
--   battles, so the order is explicit and total: round, stage (sft before dpo), instruction, turn, pair, judge. The
--   state is a list with one rating per model, folded over the list of games.
-- Source: Elo, The Rating of Chessplayers (1978); K = 4, scale 400, base 10, start 1000 as in LMSYS' elo_analysis.py.
with usable_battles as (
    select
        round,
        stage,
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        case winner when 'model_a' then 1.0 when 'tie' then 0.5 else 0.0 end::double as score
    from battles
    where arena = $scope and round <= $round and winner in ('model_a', 'model_b', 'tie')
),

models as (
    select
        model,
        count(*) as n,
        row_number() over (order by model) as position
    from (select unnest([model_a, model_b]) as model from usable_battles)
    group by model
),

games as (
    select
        list(
            {'a': a.position, 'b': b.position, 'score': score}
            order by
                round, list_position(['sft', 'dpo'], stage), instruction_id, turn, model_a, model_b, judge_id
        ) as played
    from usable_battles
    inner join models as a on a.model = model_a
    inner join models as b on b.model = model_b
),

final_state as (
    select
        list_reduce(
            played,
            lambda ratings, game: list_transform(
                ratings,
                lambda rating, position: rating + case position when game.a then 1 when game.b then -1 else 0 end
                * $k::double * (game.score - 1 / (1 + pow(
                    $base::double, (ratings[game.b] - ratings[game.a]) / $scale::double
                )))
            ),
            list_transform(range((select count(*) from models)), lambda number: $initial::double)
        ) as ratings
    from games
),

rated_models as (
    select
        model,
        n,
        ratings[position] as rating
    from models
    cross join final_state
)

select
    $round::varchar as round,
    $scope::varchar as scope,
    model,
    'elo' as method,
    rating,
    null::double as log_strength,
    null::double as lower,
    null::double as upper,
    rank() over (order by round(rating, 6) desc)::integer as rank,
    n,
    null::boolean as converged
from rated_models
order by rank, model;
