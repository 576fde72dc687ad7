-- Purpose: the card of built WizardArena sets: what is in Diverse, Hard and Mix, and what was taken out of training for them.
-- Grain:   set.
-- Inputs:  wizard_arena, described, instructions, near_duplicates, contamination.
-- Params:  $version.
-- Method:  words are separated by white space. `near_duplicates` are instructions that are never drawn because they are nearly
--          the same as a member, `contaminated` those that share words with one or are its neighbours.
with members as (
    select wizard_arena.*, unnest([set, 'mix']) as part
    from wizard_arena
    where version = $version
),
facts as (
    select
        part,
        instruction_id,
        members.cluster,
        members.difficulty,
        described.category,
        described.language,
        described.source,
        instructions.turns,
        length(regexp_split_to_array(trim(array_to_string([turn.content for turn in conversation], ' ')), '\s+')) as words
    from members
    inner join described using (instruction_id)
    inner join instructions using (instruction_id)
),
removed as (
    select part, 'near' as why, near_duplicates.instruction_id
    from members
    inner join near_duplicates on kept_id = members.instruction_id
    union
    select part, 'contaminated' as why, contamination.instruction_id
    from members
    inner join contamination on test_id = members.instruction_id
    where contamination.instruction_id <> members.instruction_id
),
taken_out as (
    select
        part,
        count(*) filter (why = 'near') as near_duplicates,
        count(*) filter (why = 'contaminated') as contaminated
    from removed
    group by part
)
select
    facts.part as set,
    count(*) as instructions,
    count(distinct cluster) as clusters,
    count(*) filter (turns > 1) as multi_turn,
    avg(turns) as mean_turns,
    avg(facts.difficulty) as mean_difficulty,
    median(words) as median_words,
    quantile_disc(words, 0.9) as words_90,
    histogram(category) as categories,
    histogram(language) as languages,
    histogram(source) as sources,
    coalesce(any_value(near_duplicates), 0) as near_duplicates,
    coalesce(any_value(contaminated), 0) as contaminated
from facts
left join taken_out using (part)
group by facts.part
order by list_position(['diverse', 'hard', 'mix'], facts.part)
