-- Purpose: Bradley-Terry strengths of every model of a scope, for the data as they are and for resamples of them.
-- Grain: resample, model. Resample 0 is the data, 1 to $resamples draw as many instructions as there are, with
--   replacement.
-- Inputs: battles.
-- Parameters: $round (last round that counts), $scope (arena), $resamples, $seed, $prior_games (0 or more), $scale,
--   $base, $initial.
-- Method:
--   Whole instructions are drawn (with all their turns, pairs and judges), because battles on one instruction are not
--   independent. Draw d of resample r takes instruction md5(seed, r, d) modulo their number, in the order of their ids:
--   the same on every machine and for every order of the rows.
--   Battles are counted per resample and pair (model_a sorts before model_b: a pair is stored one way); a tie is half a
--   win for each side.
--   $prior_games drawn games of each model against one virtual opponent keep undefeated models finite.
--   The log likelihood is concave; Newton's method maximises it for all resamples at once. A step d is shortened by
--   ln(1 + r) / r, where r = max d - min d: with that it converges from any start. Fixed-point iterations (Zermelo's,
--   Newman's) need no linear system but thousands of steps where one group of models nearly always beats another.
--   A resample stops when a full step would be shorter than 1e-9, or after 200 steps (converged = false).
--   The maximum is finite if and only if every model can be reached from every other over won games (Ford 1957).
--   Resamples without one (possible when $prior_games is 0) are not iterated: null strengths, converged = false.
--   Gauge: the mean of all log strengths is 0. A model without a battle in a resample has no row there, since the
--   resample says nothing about it: its interval rests on the resamples in which it fought. The others then keep the
--   mean that they have in resample 0, so that a missing weak model does not push everybody down.
-- Source: Bradley and Terry, Biometrika 39 (1952); Ford, American Mathematical Monthly 64 (1957); step length: Sun and
--   Tran-Dinh, Generalized self-concordant functions, Mathematical Programming 178 (2019); ties and scale as in LMSYS'
--   elo_analysis.py and Arena Learning (arXiv 2407.10627).
with recursive usable_battles as materialized (
    select
        instruction_id,
        model_a,
        model_b,
        case winner when 'model_a' then 1.0 when 'tie' then 0.5 else 0.0 end::double as score
    from battles
    where arena = $scope and round <= $round and winner in ('model_a', 'model_b', 'tie')
),

instructions_in_order as (
    select
        instruction_id,
        row_number() over (order by instruction_id) - 1 as position
    from (select distinct instruction_id from usable_battles)
),

draws as (
    select
        resample,
        md5_number_lower(concat_ws('|', $seed::bigint, resample, draw)) % (
            select count(*) from instructions_in_order
        ) as position
    from range(1, $resamples::bigint + 1) as resamples (resample)
    cross join range((select count(*) from instructions_in_order)) as drawn (draw)
),

weights as (
    select resample, position, count(*) as weight from draws group by all
    union all
    select 0, position, 1 from instructions_in_order
),

pair_counts as materialized (
    select
        resample,
        model_a,
        model_b,
        sum(weight * score) as wins,
        sum(weight * (1 - score)) as losses
    from weights
    inner join instructions_in_order using (position)
    inner join usable_battles using (instruction_id)
    group by all
),

-- Both directions of every pair.
counts as materialized (
    select resample, model_a as model, model_b as opponent, wins, losses from pair_counts
    union all
    select resample, model_b, model_a, losses, wins from pair_counts
),

-- No contestant is called '': that is the virtual opponent.
edges as materialized (
    select * from counts
    union all
    select distinct
        resample,
        unnest([model, '']) as model,
        unnest(['', model]) as opponent,
        $prior_games::double / 2 as wins,
        $prior_games::double / 2 as losses
    from counts
    where $prior_games > 0
),

-- From one model of each resample: whom it reaches over won games, and over lost ones who reaches it.
reached (resample, direction, model) as (
    select
        resample,
        unnest(['won', 'lost']) as direction,
        min(model) as model
    from edges
    group by resample
    union
    select
        reached.resample,
        reached.direction,
        edges.opponent
    from reached
    inner join edges
        on edges.resample = reached.resample
        and edges.model = reached.model
        and case reached.direction when 'won' then edges.wins else edges.losses end > 0
),

solvable_resamples as (
    select resample
    from (select resample, count(*) as nodes from reached group by resample)
    inner join (select resample, count(distinct model) as models from edges group by resample) using (resample)
    where nodes = 2 * models
),

-- One row per resample: its models in order, half-win scores, and games of each against each.
nodes as (
    select
        resample,
        model,
        row_number() over (partition by resample order by model) as position
    from (select distinct resample, model from edges inner join solvable_resamples using (resample))
),

node_games as (
    select
        node.resample,
        node.model,
        node.position,
        sum(coalesce(wins, 0)) as score,
        list(coalesce(wins + losses, 0) order by other.position) as games
    from nodes as node
    inner join nodes as other using (resample)
    left join edges
        on edges.resample = node.resample and edges.model = node.model and edges.opponent = other.model
    group by node.resample, node.model, node.position
),

systems as materialized (
    select
        resample,
        list(model order by position) as models,
        list(score order by position) as scores,
        list(games order by position) as games
    from node_games
    group by resample
),

fit (resample, strengths, steps, change) using key (resample) as (
    select
        resample,
        list_transform(models, lambda model: 0::double) as strengths,
        0 as steps,
        'infinity'::double as change
    from systems
    union
    select
        resample,
        list_transform(strengths, lambda strength, i: strength + moves[i] * if(spread > 0, ln(1 + spread) / spread, 1)),
        steps + 1,
        spread
    from (
        select
            *,
            list_max(moves) - list_min(moves) as spread
        from (
            -- Gauss-Jordan elimination. The matrix is positive definite: no pivot is zero.
            select
                *,
                list_transform(
                    list_reduce(
                        range(1, len(equations) + 1),
                        lambda matrix, p: list_transform(matrix, lambda line, i: if(
                            i = p,
                            line,
                            list_transform(
                                line, lambda cell, j: cell - matrix[p][j] * line[p] / matrix[p][p]
                            )
                        )),
                        equations
                    ),
                    lambda line, i: line[len(equations) + 1] / line[i]
                ) as moves
            from (
                -- Row i: information of i with every j (plus 1, which holds the mean), then the gradient of i.
                select
                    resample,
                    strengths,
                    steps,
                    list_transform(strengths, lambda own, i: list_append(
                        list_transform(strengths, lambda theirs, j: 1 + if(
                            i = j,
                            list_sum(list_transform(
                                strengths, lambda other, k: games[i][k] / (2 + exp(own - other) + exp(other - own))
                            )),
                            -games[i][j] / (2 + exp(own - theirs) + exp(theirs - own))
                        )),
                        scores[i] - list_sum(list_transform(
                            strengths, lambda other, k: games[i][k] / (1 + exp(other - own))
                        ))
                    )) as equations
                from fit
                inner join systems using (resample)
                where change > 1e-9 and steps < 200
            )
        )
    )
),

fitted as (
    select
        resample,
        unnest(models) as model,
        unnest(strengths) as strength,
        change <= 1e-9 as converged
    from fit
    inner join systems using (resample)
),

models as (
    select
        model,
        sum(wins + losses)::bigint as n
    from counts
    where resample = 0
    group by model
),

-- Every model that fought in a resample, with or without a fitted strength.
fitted_models as (
    select
        resample,
        model,
        n,
        strength,
        coalesce(converged, false) as converged
    from (select distinct resample, model from counts)
    inner join models using (model)
    left join fitted using (resample, model)
),

centres as (
    select
        here.resample,
        avg(here.strength) - coalesce(avg(data.strength - data_mean.strength), 0) as centre
    from fitted_models as here
    left join fitted_models as data on data.resample = 0 and data.model = here.model
    cross join (select avg(strength) as strength from fitted_models where resample = 0) as data_mean
    group by here.resample
),

-- Sums of floats depend on how threads share the rows, in the last digits: 9 decimals do not.
strengths as (
    select
        resample,
        model,
        round(strength - centre, 9) as log_strength,
        n,
        converged
    from fitted_models
    inner join centres using (resample)
)

select
    resample,
    model,
    log_strength,
    $initial::double + $scale::double / ln($base::double) * log_strength as rating,
    n,
    converged
from strengths
order by resample, model;
