-- Purpose: the games of every component as matrices, for the data and for resamples of them: what Bradley-Terry is fitted to.
-- Grain: scope, component, resample. Resample 0 is the data.
-- Inputs: pair_counts, components and outcomes, the rows of ratings/pair_counts, ratings/components and ratings/outcomes.
-- Parameters: $prior_games (0 or more).
-- Method:
--   Line i of games is model i against every model of its component, a list of one number each, which DuckDB multiplies
--   about as fast as a numeric library. present says who fought (1, else 0), scores what each won.
--   The likelihood has a finite maximum if and only if every model can be reached from every other over won games (Ford
--   1957); finite says whether it has. $prior_games drawn games of each model against one virtual opponent, the last line,
--   keep undefeated and winless models finite; a fit without a finite maximum gets at least one such game.
--   fit numbers the rows, and data_fit is the fit of the same component's resample 0. The rows are long, so nothing that
--   needs them side by side, such as a window, may copy them.
-- Source: Ford, American Mathematical Monthly 64 (1957).
with recursive pairs as (
    select
        scope,
        component,
        a.position as a,
        b.position as b,
        row_number() over (partition by scope, component order by a.position, b.position) as pair,
        count(*) over (partition by scope, component) as pairs
    from pair_counts
    inner join (select scope, component, position, model as model_a from components) as a using (scope, model_a)
    inner join (select scope, component, position, model as model_b from components) as b using (scope, component, model_b)
),

-- Where a model's wins against another stand among the wins of both sides of all pairs; the place after them holds a 0.
places as (
    select scope, component, a as model, b as opponent, pair as place from pairs
    union all
    select scope, component, b, a, pairs + pair from pairs
),

graphs as (
    select
        scope,
        component,
        (row_number() over (order by scope, component))::integer as graph,
        (count(*) over ())::integer as graphs,
        list(places order by model) as places
    from (
        select
            scope,
            component,
            own.position as model,
            list(coalesce(place, 2 * pairs + 1) order by other.position) as places
        from components as own
        inner join components as other using (scope, component)
        inner join (select distinct scope, component, pairs from pairs) using (scope, component)
        left join places
            on places.scope = own.scope
            and places.component = own.component
            and places.model = own.position
            and places.opponent = other.position
        group by scope, component, own.position
    )
    group by scope, component
),

-- One thread reads so few rows, but the branches of a union are read side by side.
halves as (
    select * from outcomes where resample % 2 = 0
    union all
    select * from outcomes where resample % 2 = 1
),

-- Line i of a matrix is model i against every model of its component.
sides as materialized (
    select
        scope,
        component,
        resample,
        (resample * graphs + graph)::integer as fit,
        graph as data_fit,
        list_transform(places, lambda line: list_select(wins, line)) as wins,
        list_transform(places, lambda line: list_select(played, line)) as games,
        list_transform(games, lambda line: (list_dot_product(line, line) > 0)::double) as present
    from (
        select
            *,
            list_concat(wins_a, wins_b, [0]) as wins,
            list_concat(played_once, played_once, [0]) as played
        from (
            select *, list_transform(list_zip(wins_a, wins_b), lambda pair: pair[1] + pair[2]) as played_once
            from halves
        )
    )
    inner join graphs using (scope, component)
),

-- From the first model of each fit: whom it reaches over won games (1, else 0), and over lost ones who reaches it.
reached (fit, models, better_than, worse_than) using key (fit) as (
    select
        fit,
        list_sum(present) as models,
        list_transform(present, lambda fought, i: (i = coalesce(list_position(present, 1), 0))::double) as better_than,
        better_than as worse_than
    from sides
    union
    select
        fit,
        models,
        more_better_than,
        more_worse_than
    from (
        select
            fit,
            models,
            better_than,
            worse_than,
            list_transform(better_than, lambda known, i: if(
                known + list_dot_product(sides.games[i], better_than) - list_dot_product(wins[i], better_than) > 0, 1, 0
            )) as more_better_than,
            list_transform(worse_than, lambda known, i: if(
                known + list_dot_product(wins[i], worse_than) > 0, 1, 0
            )) as more_worse_than
        from reached
        inner join sides using (fit)
    )
    where list_sum(more_better_than) + list_sum(more_worse_than) > list_sum(better_than) + list_sum(worse_than)
),

priors as (
    select
        fit,
        list_sum(better_than) + list_sum(worse_than) = 2 * models as finite,
        greatest($prior_games::double, if(finite, 0, 1)) as prior_games
    from reached
)

-- The last line is the virtual opponent, whose games are the prior games.
select
    scope,
    component,
    resample,
    fit,
    data_fit,
    finite,
    present,
    list_append(
        list_transform(wins, lambda line, i: list_dot_product(line, present) + prior_games / 2 * present[i]),
        prior_games / 2 * list_sum(present)
    ) as scores,
    list_append(
        list_transform(sides.games, lambda line, i: list_append(line, prior_games * present[i])),
        list_append(list_transform(present, lambda fought: prior_games * fought), 0)
    ) as games
from sides
inner join priors using (fit)
order by scope, component, resample;
