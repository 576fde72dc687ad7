-- Purpose: how far a leaderboard agrees with a reference leaderboard, such as one that people voted for.
-- Grain: one row; none where the leaderboards have no rated model in common.
-- Inputs: leaderboard, reference_leaderboard (one row per model).
-- Parameters: $touching_separated (whether intervals of which one ends where the other begins count as separated; the
--   paper's published figures need true).
-- Method: over the models that both rate. Correlations are -1 to 1, shares 0 to 1.
--   spearman: correlation of the ranks; models with equal ratings share the average of their ranks.
--   kendall: tau-b over the pairs of models.
--   A leaderboard separates a pair when its two intervals do not overlap; equal ratings are never separated.
--   A pair that both separate scores 1 in the same order and -1 in the opposite one, any other pair 0. The mean of
--   these is human_agreement_separated over the pairs that the reference separates (the paper's denominator) and
--   human_agreement_all over all pairs (Arena-Hard's).
--   differentiation: share of the pairs that the leaderboard separates.
--   average: of spearman, human_agreement_separated and differentiation.
--   Nulls: a measure that needs the interval of a model without one, a share of no pairs, and the correlations where
--   all ratings of one side are equal.
-- Source: Arena Learning (arXiv 2407.10627); Arena-Hard and BenchBuilder (arXiv 2406.11939); Kendall, The treatment of
--   ties in ranking problems, Biometrika 33 (1945).
with models as (
    select
        model,
        board.rating,
        board.lower,
        board.upper,
        reference.rating as reference_rating,
        reference.lower as reference_lower,
        reference.upper as reference_upper,
        -- Twice the distance of the average rank from the middle: whole numbers, whose sums are exact in any order.
        rank() over (order by board.rating) - rank() over (order by board.rating desc) as place,
        rank() over (order by reference.rating) - rank() over (order by reference.rating desc) as reference_place
    from leaderboard as board
    inner join reference_leaderboard as reference using (model)
    where board.rating is not null and reference.rating is not null
),

totals as (
    select
        count(*) as models,
        sum(place * reference_place) / sqrt(nullif(sum(place * place) * sum(reference_place * reference_place), 0))
            as spearman,
        bool_and(lower is not null and upper is not null) as intervals,
        bool_and(reference_lower is not null and reference_upper is not null) as reference_intervals
    from models
),

pairs as (
    select
        sign(a.rating - b.rating) as direction,
        sign(a.reference_rating - b.reference_rating) as reference_direction,
        a.rating <> b.rating and (
            a.lower > b.upper
            or b.lower > a.upper
            or ($touching_separated and (a.lower = b.upper or b.lower = a.upper))
        ) as separated,
        a.reference_rating <> b.reference_rating and (
            a.reference_lower > b.reference_upper
            or b.reference_lower > a.reference_upper
            or ($touching_separated and (a.reference_lower = b.reference_upper or b.reference_lower = a.reference_upper))
        ) as reference_separated
    from models as a
    inner join models as b on a.model < b.model
),

pair_totals as (
    select
        count(*) as pairs,
        sum(direction * reference_direction)
        / sqrt(nullif(count_if(direction <> 0) * count_if(reference_direction <> 0), 0)) as kendall,
        count(*) filter (where separated) as separated,
        count(*) filter (where reference_separated) as reference_separated,
        coalesce(sum(direction * reference_direction) filter (where separated and reference_separated), 0) as agreed
    from pairs
),

measures as (
    select
        models,
        pairs,
        case when intervals then separated end as pairs_separated,
        case when reference_intervals then reference_separated end as pairs_separated_by_reference,
        spearman,
        kendall,
        case when intervals and reference_intervals then agreed / nullif(reference_separated, 0) end
            as human_agreement_separated,
        case when intervals and reference_intervals then agreed / nullif(pairs, 0) end as human_agreement_all,
        case when intervals then separated / nullif(pairs, 0) end as differentiation
    from totals
    cross join pair_totals
    where models > 0
)

select
    models,
    pairs,
    pairs_separated,
    pairs_separated_by_reference,
    spearman,
    kendall,
    human_agreement_separated,
    human_agreement_all,
    differentiation,
    (spearman + human_agreement_separated + differentiation) / 3 as average
from measures;
