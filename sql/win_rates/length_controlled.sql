-- Purpose: how often each model would beat the baseline if their answers were equally long.
-- Grain: scope, model_a (model_b is the baseline); only models that met it in battles whose two lengths are known.
-- Inputs: scoped_battles; clusters and resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: $round (label of the rows), $baseline (a model), $confidence (of the two-sided interval).
-- Method:
--   One logistic fit per scope and model: the expected score against the baseline is
--   sigmoid(skill + length_effect * length + difficulty_effect * difficulty).
--   length = tanh of the difference of the two lengths, divided by its root mean square over the model's battles.
--   difficulty = log odds of what the other models scored against the baseline on that instruction, with half a win and
--   half a loss added; 0 where no other model met it there. The model's own score stays out: with few models it would
--   explain itself and leave nothing to length.
--   A ridge of 0.1 on all three terms keeps the fit of a model that always wins finite. Newton's method starts from 0,
--   and for resamples from the fit of the data. A step that could move the log odds of a prediction by more than 1 is
--   cut to that, so each one improves the fit: on the way the curvature changes by at most a factor of e. The first one
--   that moves them by 1e-6 or less is the last, as convergence is quadratic.
--   rate = mean prediction over the model's battles with the length term at 0. Swapping the sides changes the sign of
--   every term: the baseline's rate against a model is 1 minus the model's, and a copy of the baseline has 0.5.
--   Intervals are percentiles over refits to resamples of whole clusters. The scale of length and the difficulties are
--   those of the data: a difficulty belongs to the instruction that is drawn.
--   wins, ties, losses and n count the battles that the fit saw; unknown lengths are not guessed. Where a model's
--   answers are longer by about the same everywhere, nothing tells length from skill, and the ridge splits the effect.
-- Source: terms as in Dubois, Galambos, Liang and Hashimoto, Length-Controlled AlpacaEval (arXiv 2404.04475), who learn
--   the difficulties in a joint fit of their own models and penalise by a cross-validated L1.
with recursive baseline_battles as (
    select
        scope,
        instruction_id,
        if(model_a = $baseline, model_b, model_a) as model,
        if(model_a = $baseline, 1 - score, score) as score,
        if(model_a = $baseline, length_b - length_a, length_a - length_b) as extra_length
    from scoped_battles
    where
        $baseline in (model_a, model_b)
        and model_a <> model_b
        and length_a is not null
        and length_b is not null
),

models as materialized (
    select
        (row_number() over (order by scope, model))::integer as fit,
        scope,
        model,
        count(*) filter (where score > 0.5) as wins,
        count(*) filter (where score = 0.5) as ties,
        count(*) filter (where score < 0.5) as losses,
        count(*) as n,
        sqrt(avg(extra_length ** 2)) as usual_length
    from baseline_battles
    group by scope, model
),

-- What the others won and lost on the same instruction.
rival_scores as (
    select
        *,
        sum(score) over everybody - sum(score) over own as rival_wins,
        sum(1 - score) over everybody - sum(1 - score) over own as rival_losses
    from baseline_battles
    window
        everybody as (partition by scope, instruction_id),
        own as (partition by scope, instruction_id, model)
),

observations as materialized (
    select
        fit,
        coalesce(cluster, 0) as cluster, -- there are none where nothing is resampled
        score,
        if(usual_length > 0, tanh(extra_length / usual_length), 0) as length,
        ln((rival_wins + 0.5) / (rival_losses + 0.5)) as difficulty
    from rival_scores
    inner join models using (scope, model)
    left join clusters using (scope, instruction_id)
),

-- Resample 0 is the data.
weights as materialized (
    select resample, cluster, weight::double as weight from resample_weights
    union all
    select distinct 0, cluster, 1 from observations
),

resamples as materialized (select distinct resample from weights),

fits (fit, resample, skill, length_effect, difficulty_effect, steps, change) as (
    select fit, 0::bigint, 0::double, 0::double, 0::double, 0, 'infinity'::double from models
    union all
    select
        fit,
        resample,
        skill + pace * skill_move,
        length_effect + pace * length_move,
        difficulty_effect + pace * difficulty_move,
        steps + 1,
        change
    from (
        -- Elimination in the information matrix. It is positive definite: no pivot is zero.
        select
            *,
            i22 - i12 * i12 / i11 as pivot_2,
            i23 - i12 * i13 / i11 as below_2,
            i33 - i13 * i13 / i11 - below_2 * below_2 / pivot_2 as pivot_3,
            g2 - i12 * g1 / i11 as left_2,
            g3 - i13 * g1 / i11 - below_2 * left_2 / pivot_2 as left_3,
            left_3 / pivot_3 as difficulty_move,
            (left_2 - below_2 * difficulty_move) / pivot_2 as length_move,
            (g1 - i12 * length_move - i13 * difficulty_move) / i11 as skill_move,
            abs(skill_move) + abs(length_move) + reach * abs(difficulty_move) as change,
            1 / greatest(change, 1) as pace
        from (
            select
                fit,
                resample,
                skill,
                length_effect,
                difficulty_effect,
                steps,
                max(abs(difficulty)) as reach,
                0.1 + sum(information) as i11,
                sum(information * length) as i12,
                sum(information * difficulty) as i13,
                0.1 + sum(information * length * length) as i22,
                sum(information * length * difficulty) as i23,
                0.1 + sum(information * difficulty * difficulty) as i33,
                sum(surprise) - 0.1 * skill as g1,
                sum(surprise * length) - 0.1 * length_effect as g2,
                sum(surprise * difficulty) - 0.1 * difficulty_effect as g3
            from (
                select
                    starts.*,
                    length,
                    difficulty,
                    1 / (1 + exp(-skill - length_effect * length - difficulty_effect * difficulty)) as expected,
                    weight * (score - expected) as surprise,
                    weight * expected * (1 - expected) as information
                from (
                    -- A fit goes on until it stands still. From there, that of the data opens those of the resamples.
                    select
                        fit,
                        resamples.resample,
                        skill,
                        length_effect,
                        difficulty_effect,
                        steps
                    from fits
                    inner join resamples
                        on if(
                            change > 1e-6,
                            resamples.resample = fits.resample,
                            fits.resample = 0 and resamples.resample > 0
                        )
                    where steps < 200
                ) as starts
                inner join observations using (fit)
                inner join weights using (resample, cluster)
            )
            group by fit, resample, skill, length_effect, difficulty_effect, steps
        )
    )
),

rates as (
    select
        fit,
        resample,
        sum(weight / (1 + exp(-skill - difficulty_effect * difficulty))) / sum(weight) as rate
    from fits
    left join weights using (resample) -- a left one, for its place: elsewhere, fits times observations were held in memory
    inner join observations using (fit, cluster)
    where change <= 1e-6
    group by fit, resample
),

summaries as (
    select
        fit,
        any_value(rate) filter (where resample = 0) as rate,
        quantile_cont(rate, (1 - $confidence::double) / 2) filter (where resample > 0) as lower,
        quantile_cont(rate, (1 + $confidence::double) / 2) filter (where resample > 0) as upper
    from rates
    group by fit
)

-- Sums of floats depend on how threads share the rows, in the last digits: 9 decimals do not.
select
    $round::varchar as round,
    scope,
    'length_controlled' as method,
    model as model_a,
    $baseline::varchar as model_b,
    wins,
    ties,
    losses,
    n,
    round(rate, 9) as rate,
    round(lower, 9) as lower,
    round(upper, 9) as upper
from models
inner join summaries using (fit)
order by scope, model_a;
