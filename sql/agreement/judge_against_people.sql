-- Purpose: how often a judge says what people (or another judge) say about the same pair of answers.
-- Grain: category; first the row 'overall', which counts all categories and the judgements that have none.
-- Inputs: judgements (the judge's), reference_judgements (the people's). Several judgements of one pair are fine.
-- Parameters: none.
-- Method: every judgement is compared with every reference judgement on the same instruction, turn and two models. A
--   reference that names the models the other way round is turned, winner and all. Judgements without one of the three
--   labels model_a, model_b and tie are left out, and so is a model against itself.
--   agreement: share of the comparisons with the same label. Cohen's kappa is how far it exceeds what two raters with
--   these label frequencies would reach by chance: 0 no more, 1 always; null where chance alone is always right.
--   decided: the comparisons in which neither says tie.
--   The label frequencies, and so kappa, take model_a and model_b as `judgements` has them.
--   The category is the judgement's, else the reference's.
-- Source: Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960).
with labels as (
    select
        judgements.winner,
        case
            when judgements.model_a = reference.model_a or reference.winner = 'tie' then reference.winner
            when reference.winner = 'model_a' then 'model_b'
            else 'model_a'
        end as reference_winner,
        coalesce(judgements.category, reference.category) as category
    from judgements
    inner join reference_judgements as reference
        on reference.instruction_id = judgements.instruction_id
        and reference.turn = judgements.turn
        and least(reference.model_a, reference.model_b) = least(judgements.model_a, judgements.model_b)
        and greatest(reference.model_a, reference.model_b) = greatest(judgements.model_a, judgements.model_b)
    where
        judgements.model_a <> judgements.model_b
        and judgements.winner in ('model_a', 'model_b', 'tie')
        and reference.winner in ('model_a', 'model_b', 'tie')
),

-- One row per comparison and row of the result that it counts in.
comparisons as (
    select
        unnest(list_distinct(['overall', coalesce(category, 'overall')])) as category,
        winner,
        reference_winner,
        winner <> 'tie' and reference_winner <> 'tie' as decided
    from labels
),

counts as (
    select
        category,
        count(*) as n,
        count(*) filter (where winner = reference_winner) as agreed,
        -- How often chance agrees, times n squared.
        count_if(winner = 'model_a') * count_if(reference_winner = 'model_a')
        + count_if(winner = 'model_b') * count_if(reference_winner = 'model_b')
        + count_if(winner = 'tie') * count_if(reference_winner = 'tie') as expected,
        count(*) filter (where decided) as decided,
        count(*) filter (where decided and winner = reference_winner) as decided_agreed,
        count_if(decided and winner = 'model_a') * count_if(decided and reference_winner = 'model_a')
        + count_if(decided and winner = 'model_b') * count_if(decided and reference_winner = 'model_b')
            as decided_expected
    from comparisons
    group by category
)

select
    category,
    n,
    agreed / n as agreement,
    (n * agreed - expected) / nullif(n * n - expected, 0) as kappa,
    decided,
    decided_agreed / nullif(decided, 0) as decided_agreement,
    (decided * decided_agreed - decided_expected) / nullif(decided * decided - decided_expected, 0) as decided_kappa
from counts
order by category <> 'overall', category;
