-- Purpose: Bradley-Terry strengths and style coefficients fitted together, for the data and for resamples of them.
-- Grain: scope, resample, model or feature. Resample 0 is the data.
-- Inputs: style_observations and style_pairs, the rows of ratings/style_observations and ratings/style_pairs;
--   resample_weights, the rows of resampling/weights.
-- Parameters: $prior_games (0 or more), $style_ridge (above 0).
-- Method:
--   logit P(a beats b) = strength a - strength b + sum of coefficient x standardised style difference. A tie is half a win
--   for each side; any score between 0 and 1 counts likewise.
--   Maximum of the summed log likelihood minus $style_ridge / 2 x sum of squared coefficients. The ridge bears on the
--   coefficients alone: a normal prior with variance 1 / $style_ridge, so that 1 hardly moves a coefficient that hundreds
--   of battles speak for. A penalty of 1 on the mean log likelihood instead (arena-rank's) is a ridge as large as the
--   number of battles, and takes most of the control away.
--   Models that no chain of battles links form components, numbered by size (1 is the largest). All components of a scope
--   share the coefficients. $prior_games drawn games of each model, without a style difference, against one virtual
--   opponent per component keep undefeated and winless models finite. With a ridge the maximum is finite if and only if
--   every model of a component can be reached from every other over won games (Ford 1957); a component without gets at
--   least one such game per model. flag: 'undefeated' (never lost or tied), 'winless' (never won or tied), 'separated'
--   (one group of models won every battle against another).
--   Newton's method on all parameters, for all scopes at once. A step d is shortened by ln(1 + r) / r, where r bounds what d
--   changes on any battle: with that it converges from any start. It stops when a full step would be shorter than 1e-9,
--   or after 200 steps (converged = false).
--   Resamples take one Newton step from the estimates e: e + inverse information x sum over clusters of
--   (times drawn - 1) x score of the cluster at e. The scores are summed within a cluster, so battles of one instruction
--   need not be independent, and no resample has to be fitted.
--   Gauge: the mean of all log strengths of a component is 0. estimate is null for a feature without any difference.
-- Source: Bradley and Terry, Biometrika 39 (1952); LMSYS' style control (https://lmsys.org/blog/2024-08-28-style-control/);
--   Ford, American Mathematical Monthly 64 (1957); step length: Sun and Tran-Dinh, Mathematical Programming 178 (2019);
--   one-step bootstrap: Kline and Santos, Journal of Econometric Methods 1 (2012); Shao and Tu, The Jackknife and Bootstrap
--   (1995).
with recursive results as (
    select
        scope,
        pair,
        model_a,
        model_b,
        wins_a,
        battles - wins_a as wins_b
    from (select pair, round(sum(score), 9) as wins_a, count(*) as battles from style_observations group by pair)
    inner join style_pairs using (pair)
),

-- Both directions of every pair.
counts as materialized (
    select scope, model_a as model, model_b as opponent, wins_a as wins, wins_b as losses from results
    union all
    select scope, model_b, model_a, wins_b, wins_a from results
),

models as (
    select
        scope,
        model,
        sum(wins + losses)::bigint as n,
        sum(losses) = 0 as undefeated,
        sum(wins) = 0 as winless
    from counts
    group by scope, model
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
    inner join counts using (scope, model)
    inner join recurring.labels as known on known.scope = counts.scope and known.model = counts.opponent
    where labels.label < known.label
    group by all
),

members as materialized (
    select
        scope,
        model,
        n,
        undefeated,
        winless,
        (dense_rank() over (partition by scope order by size desc, label))::integer as component
    from (select *, count(*) over (partition by scope, label) as size from labels)
    inner join models using (scope, model)
),

-- From one model of each component: whom it reaches over won games, and over lost ones who reaches it.
reached (scope, component, direction, model) as (
    select
        scope,
        component,
        unnest(['won', 'lost']) as direction,
        min(model) as model
    from members
    group by scope, component
    union
    select
        reached.scope,
        reached.component,
        reached.direction,
        counts.opponent
    from reached
    inner join counts
        on counts.scope = reached.scope
        and counts.model = reached.model
        and case reached.direction when 'won' then counts.wins else counts.losses end > 0
),

priors as (
    select
        scope,
        component,
        nodes = 2 * models as finite,
        greatest($prior_games::double, if(finite, 0, 1)) as prior_games
    from (select scope, component, count(*) as nodes from reached group by all)
    inner join (select scope, component, count(*) as models from members group by all) using (scope, component)
),

-- In the order of the equations: per component the virtual opponent '' and the models, then the four features.
parameters as materialized (
    select
        scope,
        component,
        model,
        feature,
        (row_number() over (order by scope, component, model, feature_place))::integer as parameter,
        (row_number() over (partition by scope order by component, model, feature_place))::integer as position
    from (
        select scope, component, model, null::varchar as feature, null::integer as feature_place from members
        union all
        select scope, component, '', null, null from priors where prior_games > 0
        union all
        select distinct scope, null, null, unnest(['length', 'headers', 'bold', 'lists']), unnest([1, 2, 3, 4])
        from members
    )
),

-- Where the parameters of a pair stand. Virtual games have numbers below 0.
links as materialized (
    select
        pair,
        scope,
        a.position as a,
        b.position as b,
        null::double as prior_games
    from results
    inner join parameters as a using (scope)
    inner join parameters as b using (scope)
    where a.model = model_a and b.model = model_b
    union all
    select
        (-row_number() over (order by scope, b.position))::integer,
        scope,
        a.position,
        b.position,
        prior_games
    from priors
    inner join parameters as a using (scope, component)
    inner join parameters as b using (scope, component)
    where a.model = '' and b.model > ''
),

games as (
    select pair, 1.0::double as played, score, length, headers, bold, lists from style_observations
    union all
    select pair, prior_games, prior_games / 2, 0, 0, 0, 0 from links where pair < 0
),

-- bounds: the largest difference of every feature; 0 where no two answers differ.
systems as materialized (
    select
        scope,
        size,
        [max(abs(length)), max(abs(headers)), max(abs(bold)), max(abs(lists))] as bounds
    from style_observations
    inner join links using (pair)
    inner join (select scope, count(*) as size from parameters group by scope) using (scope)
    group by scope, size
),

-- The equations without the battles, lower triangle: a 1 between the models of a component, which holds their mean; the
-- ridge on the diagonal of the features (1 for one without differences). Below it the unit matrix, then the gradient.
frame as materialized (
    select
        scope,
        line.position as line,
        place.position as place,
        case
            when line.component = place.component then 1
            when line.position > place.position or line.component is not null then 0
            when bounds[4 + line.position - size] = 0 then 1
            else $style_ridge::double
        end as value
    from systems
    inner join parameters as line using (scope)
    inner join parameters as place using (scope)
    where place.position <= line.position
    union all
    select
        scope,
        size + line.position,
        place.position,
        if(line.position = place.position, 1, 0)
    from systems
    inner join parameters as line using (scope)
    inner join parameters as place using (scope)
    union all
    select scope, 2 * size + 1, position, 0 from systems inner join parameters using (scope)
),

newton (scope, estimates, inverse_root, steps, change) using key (scope) as (
    select
        scope,
        list_transform(range(size), lambda place: 0::double) as estimates,
        null::double[][] as inverse_root,
        0 as steps,
        'infinity'::double as change
    from systems
    union
    (
        with active as (
            select
                scope,
                size,
                bounds,
                estimates,
                steps
            from newton
            inner join systems using (scope)
            where change > 1e-9 and steps < 200
        ),

        gaps as (
            select
                pair,
                estimates[a] - estimates[b] as gap,
                estimates[size - 3] as by_length,
                estimates[size - 2] as by_headers,
                estimates[size - 1] as by_bold,
                estimates[size] as by_lists
            from active
            inner join links using (scope)
        ),

        -- surprise: score minus expected score; weight: its variance, the information.
        expectations as (
            select
                pair,
                length,
                headers,
                bold,
                lists,
                1 / (1 + exp(-(
                    gap + by_length * length + by_headers * headers + by_bold * bold + by_lists * lists
                ))) as expected,
                score - played * expected as surprise,
                played * expected * (1 - expected) as weight
            from games
            inner join gaps using (pair)
        ),

        pair_sums as (
            select
                pair,
                sum(surprise) as s,
                sum(surprise * length) as s1,
                sum(surprise * headers) as s2,
                sum(surprise * bold) as s3,
                sum(surprise * lists) as s4,
                sum(weight) as w,
                sum(weight * length) as w1,
                sum(weight * headers) as w2,
                sum(weight * bold) as w3,
                sum(weight * lists) as w4,
                sum(weight * length * length) as w11,
                sum(weight * length * headers) as w12,
                sum(weight * length * bold) as w13,
                sum(weight * length * lists) as w14,
                sum(weight * headers * headers) as w22,
                sum(weight * headers * bold) as w23,
                sum(weight * headers * lists) as w24,
                sum(weight * bold * bold) as w33,
                sum(weight * bold * lists) as w34,
                sum(weight * lists * lists) as w44
            from expectations
            group by pair
        ),

        sums as (
            select
                scope,
                unnest([
                    a, b, b, 2 * size + 1, 2 * size + 1,
                    size - 3, size - 3, size - 2, size - 2, size - 1, size - 1, size, size
                ]) as line,
                unnest([a, b, a, a, b, a, b, a, b, a, b, a, b]) as place,
                unnest([w, w, -w, s, -s, w1, -w1, w2, -w2, w3, -w3, w4, -w4]) as value
            from pair_sums
            inner join links using (pair)
            inner join active using (scope)
            union all
            select
                scope,
                unnest([
                    size - 3,
                    size - 2, size - 2,
                    size - 1, size - 1, size - 1,
                    size, size, size, size,
                    2 * size + 1, 2 * size + 1, 2 * size + 1, 2 * size + 1
                ]),
                unnest([
                    size - 3,
                    size - 3, size - 2,
                    size - 3, size - 2, size - 1,
                    size - 3, size - 2, size - 1, size,
                    size - 3, size - 2, size - 1, size
                ]),
                unnest([
                    sum(w11),
                    sum(w12), sum(w22),
                    sum(w13), sum(w23), sum(w33),
                    sum(w14), sum(w24), sum(w34), sum(w44),
                    sum(s1) - $style_ridge::double * any_value(estimates[size - 3]),
                    sum(s2) - $style_ridge::double * any_value(estimates[size - 2]),
                    sum(s3) - $style_ridge::double * any_value(estimates[size - 1]),
                    sum(s4) - $style_ridge::double * any_value(estimates[size])
                ])
            from pair_sums
            inner join links using (pair)
            inner join active using (scope)
            group by scope, size
        ),

        equations as (
            select scope, list(cells order by line) as equations
            from (
                select scope, line, list(value order by place) as cells
                from (
                    select scope, line, place, sum(value) as value
                    from (select * from frame semi join active using (scope) union all select * from sums)
                    group by all
                )
                group by scope, line
            )
            group by scope
        ),

        -- Cholesky factor L of the information; each line starts with a 0. Going on with the lines below it turns the unit
        -- matrix into lines whose products are the inverse, and the gradient g into L^-1 g.
        factors as (
            select
                scope,
                list_reduce(
                    range(1, len(equations) // 2 + 1),
                    lambda factor, j: list_transform(factor, lambda line, i: list_append(line, if(
                        i < j,
                        0,
                        (equations[i][j] - list_dot_product(line, factor[j]))
                        / sqrt(equations[j][j] - list_dot_product(factor[j], factor[j]))
                    ))),
                    list_transform(equations, lambda line: [0::double])
                ) as factor
            from equations
        ),

        moves as (
            select
                scope,
                factor[size + 1:2 * size] as inverse_root,
                list_transform(inverse_root, lambda line: list_dot_product(line, factor[2 * size + 1])) as moves,
                list_max(moves[:size - 4]) - list_min(moves[:size - 4])
                + list_sum(list_transform(bounds, lambda bound, i: bound * abs(moves[size - 4 + i]))) as change,
                estimates,
                steps
            from factors
            inner join active using (scope)
        )

        select
            scope,
            list_transform(
                estimates, lambda estimate, i: estimate + moves[i] * if(change > 0, ln(1 + change) / change, 1)
            ),
            inverse_root,
            steps + 1,
            change
        from moves
    )
),

solutions as materialized (
    select
        scope,
        size,
        bounds,
        estimates,
        list_transform(inverse_root, lambda line: list_transform(
            inverse_root, lambda other: list_dot_product(line, other)
        )) as inverse,
        change <= 1e-9 as converged
    from newton
    inner join systems using (scope)
),

surprises as materialized (
    select
        pair,
        cluster,
        length,
        headers,
        bold,
        lists,
        score - 1 / (1 + exp(-(
            gap + by_length * length + by_headers * headers + by_bold * bold + by_lists * lists
        ))) as surprise
    from style_observations
    inner join (
        select
            pair,
            estimates[a] - estimates[b] as gap,
            estimates[size - 3] as by_length,
            estimates[size - 2] as by_headers,
            estimates[size - 1] as by_bold,
            estimates[size] as by_lists
        from solutions
        inner join links using (scope)
    ) using (pair)
),

-- The score of every cluster: the derivative of its log likelihood by every parameter.
scores as materialized (
    select parameter, cluster, sum(value) as value
    from (
        select
            unnest([a.parameter, b.parameter]) as parameter,
            cluster,
            unnest([value, -value]) as value
        from (select pair, cluster, sum(surprise) as value from surprises group by all)
        inner join links using (pair)
        inner join parameters as a on a.scope = links.scope and a.position = links.a
        inner join parameters as b on b.scope = links.scope and b.position = links.b
    )
    group by all
    union all
    select
        parameter,
        cluster,
        case feature when 'length' then s1 when 'headers' then s2 when 'bold' then s3 else s4 end
    from (
        select
            scope,
            cluster,
            sum(surprise * length) as s1,
            sum(surprise * headers) as s2,
            sum(surprise * bold) as s3,
            sum(surprise * lists) as s4
        from surprises
        inner join links using (pair)
        group by all
    )
    inner join parameters using (scope)
    where feature is not null
),

drawn_scores as (
    select resample, parameter, sum(weight * value) as value
    from scores
    inner join resample_weights using (cluster)
    group by all
),

surpluses as (
    select
        scope,
        resample,
        list(coalesce(drawn_scores.value, 0) - coalesce(total.value, 0) order by position) as surplus
    from parameters
    cross join (select distinct resample from resample_weights) as resamples
    left join drawn_scores using (resample, parameter)
    left join (select parameter, sum(value) as value from scores group by all) as total using (parameter)
    group by all
),

resampled as (
    select scope, 0::bigint as resample, estimates from solutions
    union all
    select
        scope,
        resample,
        list_transform(estimates, lambda estimate, i: estimate + list_dot_product(inverse[i], surplus))
    from solutions
    inner join surpluses using (scope)
),

estimates as (
    select
        scope,
        resample,
        unnest(estimates) as estimate,
        unnest(range(1, len(estimates) + 1)) as position
    from resampled
)

-- Sums of floats depend on how threads share the rows, in the last digits: 9 decimals do not.
select
    estimates.scope,
    resample,
    parameters.model,
    feature,
    round(case
        when feature is null then estimate - avg(estimate) over (partition by estimates.scope, resample, parameters.component)
        when bounds[4 + position - size] > 0 then estimate
    end, 9) as estimate,
    n,
    converged,
    parameters.component,
    case when undefeated then 'undefeated' when winless then 'winless' when not finite then 'separated' end as flag
from estimates
inner join parameters using (scope, position)
inner join solutions using (scope)
left join members using (scope, model)
left join priors on priors.scope = estimates.scope and priors.component = parameters.component
where parameters.model is distinct from ''
order by estimates.scope, resample, parameters.model nulls last, feature;
