-- Purpose: Bradley-Terry strengths of every model, for the data as they are and for resamples of them.
-- Grain: scope, resample, model. Resample 0 is the data.
-- Inputs: matrices and components, the rows of ratings/matrices and ratings/components.
-- Parameters: $scale, $base, $initial.
-- Method:
--   Every component is fitted by itself, in the data and in each resample.
--   The log likelihood is concave; Newton's method maximises it for all fits at once. A step d is shortened by
--   ln(1 + r) / r, where r = max d - min d: with that it converges from any start. Fixed-point iterations (Zermelo's,
--   Newman's) need no linear system but thousands of steps where one group of models nearly always beats another.
--   The linear system of a step is solved by conjugate gradients, whose rounds only multiply the matrix: with 200 models
--   many times faster than a factorisation. Where they end early, the next step goes on from there.
--   Convergence is quadratic: after a short step of length r whose linear system is solved, the maximum is less than r * r
--   away, and a fit stops when that is at most 1e-9. Where the system is not solved, r itself must be. After 200 steps a
--   fit stops as well (converged = false). Those of the resamples start where the fit of the data ended.
--   Gauge: the mean of all log strengths of a component is 0. A model without a battle in a resample has no row there,
--   since the resample says nothing about it: its interval rests on the resamples in which it fought. The others then
--   keep the mean that they have in resample 0, so that a missing weak model does not push everybody down.
-- Source: Bradley and Terry, Biometrika 39 (1952); step length: Sun and Tran-Dinh, Generalized self-concordant functions,
--   Mathematical Programming 178 (2019); conjugate gradients: Hestenes and Stiefel, Journal of Research of the National
--   Bureau of Standards 49 (1952); ties and scale as in LMSYS' elo_analysis.py and Arena Learning (arXiv 2407.10627).
with recursive newton (fit, strengths, steps, change) using key (fit) as (
    select
        fit,
        list_transform(scores, lambda score, i: ln((score + 0.5) / (list_sum(games[i]) - score + 0.5))) as strengths,
        0 as steps,
        'infinity'::double as change
    from matrices
    where fit = data_fit
    union
    select
        fit,
        list_transform(strengths, lambda strength, i: strength + moves[i] * if(spread > 0, ln(1 + spread) / spread, 1)),
        steps + 1,
        if(solved, spread * spread, spread)
    from (
        select
            fit,
            strengths,
            steps,
            list_transform(solution.moves, lambda move, i: move / roots[i]) as moves,
            list_max(moves) - list_min(moves) as spread,
            solution.error <= error * 1e-12 as solved
        from (
            -- Conjugate gradients, in units in which the curvature along every strength is 1. Equal moves of all models
            -- change nothing and would drift: drift gives them the same curvature. A lambda over a list of one value names
            -- that value.
            select
                fit,
                strengths,
                steps,
                roots,
                error,
                list_reduce(
                    range(least(len(strengths), 2 * (steps + 1))),
                    lambda now, round: list_transform([{
                        'path': list_transform(list_zip(now.direction, roots), lambda cell: cell[1] / cell[2]),
                        'drift': list_dot_product(now.direction, roots) / list_dot_product(roots, roots)
                    }], lambda along: list_transform([
                        list_transform(information, lambda line, i: now.direction[i]
                            - list_dot_product(line, along.path) / roots[i] + along.drift * roots[i])
                    ], lambda bend: list_transform([
                        if(now.error > aim, now.error / list_dot_product(now.direction, bend), 0)
                    ], lambda length: list_transform([
                        list_transform(list_zip(now.slopes, bend), lambda cell: cell[1] - length * cell[2])
                    ], lambda slopes: {
                        'moves': list_transform(
                            list_zip(now.moves, now.direction), lambda cell: cell[1] + length * cell[2]
                        ),
                        'slopes': slopes,
                        'direction': list_transform(
                            list_zip(slopes, now.direction),
                            lambda cell: cell[1] + if(
                                now.error > aim, list_dot_product(slopes, slopes) / now.error, 0
                            ) * cell[2]
                        ),
                        'error': list_dot_product(slopes, slopes)
                    })[1])[1])[1])[1],
                    {
                        'moves': list_transform(slopes, lambda slope: 0::double),
                        'slopes': slopes,
                        'direction': slopes,
                        'error': error
                    }
                ) as solution
            from (
                select
                    *,
                    list_dot_product(slopes, slopes) as error,
                    error * 1e-24 as aim
                from (
                    select
                        fit,
                        strengths,
                        steps,
                        information,
                        roots,
                        list_transform(information, lambda line, i: (
                            scores[i] - list_dot_product(line, ones) - powers[i] * list_dot_product(line, inverse_powers)
                        ) / roots[i]) as slopes
                    from (
                        select
                            *,
                            list_transform(
                                information, lambda line: sqrt(coalesce(nullif(list_dot_product(line, ones), 0), 1))
                            ) as roots
                        from (
                            select
                                *,
                                list_transform(powers, lambda own, i: list_transform(
                                    list_zip(games[i], powers), lambda cell: cell[1] / (2 + own / cell[2] + cell[2] / own)
                                )) as information
                            from (
                                select
                                    fit,
                                    strengths,
                                    steps,
                                    scores,
                                    games,
                                    list_transform(strengths, lambda strength: exp(strength)) as powers,
                                    list_transform(strengths, lambda strength: exp(-strength)) as inverse_powers,
                                    list_transform(strengths, lambda strength: 1::double) as ones
                                from (
                                    select fit, strengths, steps
                                    from newton
                                    where change > 1e-9 and steps < 200
                                    union all
                                    select matrices.fit, strengths, 0
                                    from newton
                                    inner join matrices on matrices.data_fit = newton.fit and matrices.fit <> newton.fit
                                    where change <= 1e-9 or steps = 200
                                )
                                inner join matrices using (fit)
                            )
                        )
                    )
                )
            )
        )
    )
),

fitted as (
    select
        scope,
        resample,
        component,
        model,
        n,
        strength,
        change <= 1e-9 as converged,
        finite
    from (
        select
            scope,
            component,
            resample,
            finite,
            change,
            unnest(present) as fought,
            unnest(strengths[:len(present)]) as strength,
            generate_subscripts(present, 1) as position
        from newton
        inner join matrices using (fit)
    )
    inner join components using (scope, component, position)
    where fought > 0
),

centres as (
    select
        here.scope,
        here.resample,
        here.component,
        avg(here.strength) - coalesce(avg(data.strength - data_mean.strength), 0) as centre
    from fitted as here
    left join fitted as data
        on data.resample = 0 and data.scope = here.scope and data.model = here.model
    inner join (
        select scope, component, avg(strength) as strength from fitted where resample = 0 group by all
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
    from fitted
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
