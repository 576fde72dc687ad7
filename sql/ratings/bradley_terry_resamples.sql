-- Purpose: Bradley-Terry strengths of every model, for the data as they are and for resamples of them.
-- Grain: scope, resample, model. Resample 0 is the data.
-- Inputs: pair_counts, the rows of ratings/pair_counts.
-- Parameters: $prior_games (0 or more), $scale, $base, $initial.
-- Method:
--   Models that are not linked by any chain of battles cannot be compared: every component of the graph of battles (in
--   the data) is fitted by itself. Components are numbered by size, 1 is the largest.
--   The likelihood has a finite maximum if and only if every model of the component can be reached from every other over
--   won games (Ford 1957); finite says whether it has. $prior_games drawn games of each model against one virtual
--   opponent keep undefeated and winless models finite; a fit without a finite maximum gets at least one such game.
--   The log likelihood is concave; Newton's method maximises it for all fits at once. A step d is shortened by
--   ln(1 + r) / r, where r = max d - min d: with that it converges from any start. Fixed-point iterations (Zermelo's,
--   Newman's) need no linear system but thousands of steps where one group of models nearly always beats another.
--   A fit stops when a full step would be shorter than 1e-9, or after 200 steps (converged = false).
--   Gauge: the mean of all log strengths of a component is 0. A model without a battle in a resample has no row there,
--   since the resample says nothing about it: its interval rests on the resamples in which it fought. The others then
--   keep the mean that they have in resample 0, so that a missing weak model does not push everybody down.
-- Source: Bradley and Terry, Biometrika 39 (1952); Ford, American Mathematical Monthly 64 (1957); step length: Sun and
--   Tran-Dinh, Generalized self-concordant functions, Mathematical Programming 178 (2019); ties and scale as in LMSYS'
--   elo_analysis.py and Arena Learning (arXiv 2407.10627).
with recursive models as (
    select
        scope,
        model,
        sum(battles)::bigint as n
    from (
        select
            scope,
            unnest([model_a, model_b]) as model,
            round(wins_a + wins_b) as battles
        from pair_counts
        where resample = 0
    )
    group by all
),

-- Both directions of every pair.
counts as materialized (
    select scope, resample, model_a as model, model_b as opponent, wins_a as wins, wins_b as losses from pair_counts
    union all
    select scope, resample, model_b, model_a, wins_b, wins_a from pair_counts
),

-- Each model takes over the smallest name among those it is linked to.
labels (scope, model, label) using key (scope, model) as (
    select scope, model, model as label from models
    union
    select
        counts.scope,
        counts.opponent,
        min(labels.label)
    from labels
    inner join counts on counts.scope = labels.scope and counts.model = labels.model and counts.resample = 0
    inner join recurring.labels as known on known.scope = counts.scope and known.model = counts.opponent
    where labels.label < known.label
    group by all
),

members as (
    select
        scope,
        model,
        n,
        dense_rank() over (partition by scope order by size desc, label)::integer as component
    from (select *, count(*) over (partition by scope, label) as size from labels)
    inner join models using (scope, model)
),

-- One fit per scope, resample and component.
fits as (
    select
        scope,
        resample,
        component,
        (row_number() over (order by scope, resample, component))::integer as fit
    from (select distinct scope, resample, component from counts inner join members using (scope, model))
),

edges as materialized (
    select
        fit,
        model,
        opponent,
        wins,
        losses
    from counts
    inner join members using (scope, model)
    inner join fits using (scope, resample, component)
),

-- From one model of each fit: whom it reaches over won games, and over lost ones who reaches it.
reached (fit, direction, model) as (
    select
        fit,
        unnest(['won', 'lost']) as direction,
        min(model) as model
    from edges
    group by fit
    union
    select
        reached.fit,
        reached.direction,
        edges.opponent
    from reached
    inner join edges
        on edges.fit = reached.fit
        and edges.model = reached.model
        and case reached.direction when 'won' then edges.wins else edges.losses end > 0
),

priors as (
    select
        fit,
        nodes = 2 * models as finite,
        greatest($prior_games::double, if(finite, 0, 1)) as prior_games
    from (select fit, count(*) as nodes from reached group by fit)
    inner join (select fit, count(distinct model) as models from edges group by fit) using (fit)
),

-- No contestant is called '': that is the virtual opponent.
games as (
    select fit, model, opponent, wins, wins + losses as played from edges
    union all
    select distinct
        fit,
        unnest([model, '']) as model,
        unnest(['', model]) as opponent,
        prior_games / 2 as wins,
        prior_games as played
    from edges
    inner join priors using (fit)
    where prior_games > 0
),

nodes as (
    select
        fit,
        model,
        sum(wins) as score,
        (row_number() over (partition by fit order by model))::integer as position
    from games
    group by fit, model
),

-- One row per fit: its models in order, half-win scores, and games of each against each.
systems as materialized (
    select
        fit,
        list(model order by position) as models,
        list(score order by position) as scores,
        list(played order by position) as games
    from (
        select
            node.fit,
            node.model,
            node.position,
            node.score,
            list(coalesce(played, 0) order by other.position) as played
        from nodes as node
        inner join nodes as other using (fit)
        left join games
            on games.fit = node.fit and games.model = node.model and games.opponent = other.model
        group by all
    )
    group by fit
),

newton (fit, strengths, steps, change) using key (fit) as (
    select
        fit,
        list_transform(scores, lambda score, i: ln((score + 0.5) / (list_sum(games[i]) - score + 0.5))) as strengths,
        0 as steps,
        'infinity'::double as change
    from systems
    union
    select
        fit,
        list_transform(strengths, lambda strength, i: strength + moves[i] * if(spread > 0, ln(1 + spread) / spread, 1)),
        steps + 1,
        spread
    from (
        select
            *,
            list_max(moves) - list_min(moves) as spread
        from (
            -- Back substitution, last model first; the last line of the factor is the forward solution.
            select
                fit,
                strengths,
                steps,
                list_reduce(
                    list_reverse(range(1, len(factor))),
                    lambda solved, j: list_prepend(
                        (factor[len(factor)][j + 1] - list_dot_product(
                            list_transform(factor[j + 1:len(factor) - 1], lambda line: line[j + 1]), solved
                        )) / factor[j][j + 1],
                        solved
                    ),
                    []::double[]
                ) as moves
            from (
                -- Cholesky factor of the information with the gradient as one more line; each line starts with a 0.
                select
                    fit,
                    strengths,
                    steps,
                    list_reduce(
                        range(1, len(equations)),
                        lambda factor, j: list_transform(factor, lambda line, i: list_append(line, if(
                            i < j,
                            0,
                            (equations[i][j] - list_dot_product(line, factor[j]))
                            / sqrt(equations[j][j] - list_dot_product(factor[j], factor[j]))
                        ))),
                        list_transform(equations, lambda line: [0::double])
                    ) as factor
                from (
                    -- Line i: information of i with every j (plus 1, which holds the mean). Last line: the gradient.
                    select
                        fit,
                        strengths,
                        steps,
                        list_append(
                            list_transform(information, lambda line, i: list_transform(
                                line, lambda cell, j: 1 + if(i = j, list_sum(line), -cell)
                            )),
                            list_transform(strengths, lambda own, i: scores[i] - list_dot_product(
                                games[i], list_transform(strengths, lambda other: 1 / (1 + exp(other - own)))
                            ))
                        ) as equations
                    from (
                        select
                            fit,
                            strengths,
                            steps,
                            scores,
                            games,
                            list_transform(strengths, lambda own, i: list_transform(
                                strengths,
                                lambda other, j: games[i][j] / (2 + exp(own - other) + exp(other - own))
                            )) as information
                        from newton
                        inner join systems using (fit)
                        where change > 1e-9 and steps < 200
                    )
                )
            )
        )
    )
),

fitted as (
    select
        fit,
        unnest(models) as model,
        unnest(strengths) as strength,
        change <= 1e-9 as converged
    from newton
    inner join systems using (fit)
),

fitted_models as (
    select
        scope,
        resample,
        component,
        model,
        n,
        strength,
        converged,
        finite
    from fitted
    inner join fits using (fit)
    inner join priors using (fit)
    inner join members using (scope, component, model)
),

centres as (
    select
        here.scope,
        here.resample,
        here.component,
        avg(here.strength) - coalesce(avg(data.strength - data_mean.strength), 0) as centre
    from fitted_models as here
    left join fitted_models as data
        on data.resample = 0 and data.scope = here.scope and data.model = here.model
    inner join (
        select scope, component, avg(strength) as strength from fitted_models where resample = 0 group by all
    ) as data_mean on data_mean.scope = here.scope and data_mean.component = here.component
    group by all
),

-- Sums of floats depend on how threads share the rows, in the last digits: 9 decimals do not.
strengths as (
    select
        scope,
        resample,
        model,
        round(strength - centre, 9) as log_strength,
        n,
        converged,
        component,
        finite
    from fitted_models
    inner join centres using (scope, resample, component)
)

select
    scope,
    resample,
    model,
    log_strength,
    $initial::double + $scale::double / ln($base::double) * log_strength as rating,
    n,
    converged,
    component,
    finite
from strengths
order by scope, resample, model;
