-- Purpose: figures of a batch of training examples: no test text among them, real answers, won clearly enough, from all categories.
-- Grain: subject: (all).
-- Inputs: staged_training_sets (rows that wait for their audit), instructions, wizard_arena, responses, battles.
-- Parameters: $margin (the threshold K; null where another strategy draws).
-- Method: test_texts: examples whose instruction is not of the training split, or whose last user turn is, but for case, spaces and
--   punctuation, a turn of a test instruction. not_answers: chosen (or rejected) is not what its model answered to that turn;
--   a prompt of ppo has neither.
--   unknown_battles: examples that name a battle which is not there. small_margins: won by less than K. Shares need 10 examples.
-- Source: Arena Learning (arXiv 2407.10627), section 3.3: K; the test set is held out.
with tested as (
    select distinct hash(regexp_replace(lower(turn.content), '[^\pL\pN]+', '', 'g')) as text_hash
    from (
        select unnest(conversation) as turn
        from instructions
        where split <> 'train' or instruction_id in (select wizard_arena.instruction_id from wizard_arena)
    )
    where turn.role = 'user' and length(turn.content) >= 20
),

examples as (
    select
        batch.example_id,
        batch.category,
        batch.margin,
        hash(batch.chosen) as chosen_hash,
        instructions.split is distinct from 'train'
        or tested.text_hash is not null
        or batch.instruction_id in (select wizard_arena.instruction_id from wizard_arena) as tested,
        length(batch.chosen) as chars
    from staged_training_sets as batch
    left join instructions on instructions.instruction_id = batch.instruction_id
    left join tested
        on tested.text_hash = hash(regexp_replace(lower(batch.prompt[-1].content), '[^\pL\pN]+', '', 'g'))
),

texts as (
    select
        instruction_id,
        turn,
        chosen_model as contestant_id,
        chosen as text
    from staged_training_sets as batch
    where chosen is not null
    union all
    select
        instruction_id,
        turn,
        rejected_model as contestant_id,
        rejected as text
    from staged_training_sets as batch
    where rejected is not null
),

invented as (
    select count(*) as not_answers
    from texts
    anti join responses
        on responses.instruction_id = texts.instruction_id
        and responses.turn = texts.turn
        and responses.contestant_id = texts.contestant_id
        and responses.text = texts.text
),

sources as (
    select count(*) as unknown_battles
    from (select unnest(battle_ids) as battle_id from staged_training_sets as batch)
    anti join battles using (battle_id)
),

categories as (
    select max(n) as most_of_a_category
    from (
        select
            category,
            count(*) as n
        from staged_training_sets as batch
        group by category
    )
)

select
    '(all)' as subject,
    count(*) as rows,
    count_if(examples.tested) as test_texts,
    (select invented.not_answers from invented) as not_answers,
    (select sources.unknown_battles from sources) as unknown_battles,
    count_if(examples.margin < $margin::double - 1e-9) as small_margins,
    case when count(*) >= 10 then (select categories.most_of_a_category from categories) / count(*) end as top_category_share,
    case when count(examples.chars) >= 10 then 1 - count(distinct examples.chosen_hash) / count(*) end as repeated_share,
    case when count(*) >= 10 then avg(examples.chars) end as mean_chars
from examples
order by subject;
