-- Purpose: how often each model beat each other one. All that Bradley-Terry needs to know of the battles.
-- Grain: scope, model_a, model_b; model_a sorts before model_b.
-- Inputs: scoped_battles.
-- Parameters: none.
-- Method: a tie is half a win for each side (a soft score is shared likewise). A model against itself says nothing about
--   strength. Sides are exchanged after counting, on few rows. The counts of the resamples are in ratings/outcomes.
-- Source: ties as in LMSYS' elo_analysis.py.
with directed_counts as (
    select
        scope,
        model_a,
        model_b,
        sum(score) as wins_a,
        count(*) as battles
    from scoped_battles
    group by all
    having model_a <> model_b
)

select
    scope,
    least(model_a, model_b) as model_a,
    greatest(model_a, model_b) as model_b,
    round(sum(if(directed_counts.model_a < directed_counts.model_b, wins_a, battles - wins_a)), 9) as wins_a,
    round(sum(if(directed_counts.model_a < directed_counts.model_b, battles - wins_a, wins_a)), 9) as wins_b
from directed_counts
group by scope, least(model_a, model_b), greatest(model_a, model_b)
order by scope, model_a, model_b;
