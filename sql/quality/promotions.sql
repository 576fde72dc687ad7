-- Purpose: figures of a decision: both were tested on the same, on enough of it, and the rule was kept.
-- Grain: subject: (all).
-- Inputs: staged_promotions (rows that wait for their audit), battles, instructions, wizard_arena.
-- Parameters: $round, $min_instructions, $promotion_margin (rating points).
-- Method: few: promoted on fewer test instructions than are needed. not_better: promoted although the lower bound is not above the
--   margin. failed_checks: promoted although a check failed. What a person forced is none of these.
--   too_many: more common test instructions than the test set has. uneven: test instructions on which only one of candidate and champion
--   fought others, which would compare them on different questions.
-- Source: none; the rule is that of arena_etl/training/promote.py.
with fought as (
    select distinct
        batch.candidate,
        battles.instruction_id,
        batch.candidate in (battles.model_a, battles.model_b) as by_candidate,
        batch.champion in (battles.model_a, battles.model_b) as by_champion
    from staged_promotions as batch
    inner join battles
        on battles.arena = 'wizard_arena'
        and battles.round <= batch.round
        and battles.winner <> 'unusable'
        and (
            batch.candidate in (battles.model_a, battles.model_b) or batch.champion in (battles.model_a, battles.model_b)
        )
    where batch.candidate is not null
),

sides as (
    select
        instruction_id,
        max(by_candidate) as by_candidate,
        max(by_champion) as by_champion
    from fought
    group by instruction_id
),

compared as (
    select count_if(by_candidate <> by_champion) as uneven
    from sides
),

decided as (
    select
        *,
        decision = 'promoted' and test <> 'forced' as by_rule
    from staged_promotions
),

tests as (
    select count(*) as tests
    from instructions
    where split <> 'train' or instruction_id in (select wizard_arena.instruction_id from wizard_arena)
)

select
    '(all)' as subject,
    count_if(batch.by_rule and batch.instructions < $min_instructions) as few,
    count_if(batch.by_rule and coalesce(batch.lower <= $promotion_margin, true)) as not_better,
    count_if(batch.by_rule and list_bool_or([not looked_at.passed for looked_at in batch.checks])) as failed_checks,
    count_if(batch.instructions > (select tests.tests from tests)) as too_many,
    (select compared.uneven from compared) as uneven
from decided as batch
order by subject;
