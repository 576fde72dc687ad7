-- Purpose: figures of a batch of answers: is it whole, is it about this arena, and do the contestants answer as they usually do.
-- Grain: subject: a rival's contestant_id, target, candidate, and (all) for the batch as a whole.
-- Inputs: staged_responses (rows that wait for their audit), responses (published), turns (what the arena asks), entrants (contestant_id, subject), plans.
-- Parameters: $round, $stage, $arena, $imported (recorded answers: not measured against this lake's roster and slice).
-- Method: missing: turns of the arena that an entrant has no row for, here or in another
--   partition (this one is replaced). strangers: rows of contestants that do
--   not fight; astray: rows about turns that the arena does not ask. Shares need 20 answers. repeated_share: of the most frequent
--   answer. copied_share: answers that another contestant gave word for word to the same turn, from 20 characters up.
--   contradicted_share: recorded answers of which another text was recorded too. off_language_rate: answers of 12 words and more to English
--   instructions of whose first words fewer than one in twenty is among the commonest English ones.
--   chars_per_token: median length of an answer per generated token, so that texts that were cut after they were counted show.
--   early_rows: made more than two days before the round's date; late_rows: in the future. over_plan: tokens by planned tokens.
-- Source: refusals begin as in the keyword lists of Zou et al. 2023 (arXiv 2307.15043), appendix.
with answers as (
    select
        batch.instruction_id,
        batch.turn,
        batch.contestant_id,
        coalesce(entrants.subject, batch.contestant_id) as subject,
        entrants.contestant_id is null as stranger,
        turns.instruction_id is null as astray,
        batch.text,
        hash(batch.text) as text_hash,
        batch.error,
        batch.finish_reason,
        coalesce(batch.tokens_in, 0) + coalesce(batch.tokens_out, 0) as tokens,
        batch.tokens_out,
        batch.created_at,
        coalesce(turns.language, 'en') as language,
        contains(batch.request, '"contradicted":true') as contradicted
    from staged_responses as batch
    left join entrants on entrants.contestant_id = batch.contestant_id
    left join turns on turns.instruction_id = batch.instruction_id and turns.turn = batch.turn
),

owed as (
    select
        entrants.subject,
        count(*) - count(known.instruction_id) as missing
    from entrants
    cross join turns
    left join (
        select
            instruction_id,
            turn,
            contestant_id
        from staged_responses as batch
        union
        select
            instruction_id,
            turn,
            contestant_id
        from responses
        where (round, stage, arena) <> ($round::varchar, $stage::varchar, $arena::varchar)
    ) as known
        on known.instruction_id = turns.instruction_id
        and known.turn = turns.turn
        and known.contestant_id = entrants.contestant_id
    group by entrants.subject
),

copies as (
    select
        instruction_id,
        turn,
        text_hash
    from answers
    where length(text) >= 20
    group by all
    having count(distinct contestant_id) > 1
),

words as (
    select
        subject,
        len(regexp_extract_all(lower(text[:400]), '[\pL'']+')) as words,
        len(
            regexp_extract_all(
                lower(text[:400]),
                '\b(?:the|of|and|to|a|in|is|that|it|for|you|was|with|on|as|are|this|be|by|or|an|can|from|your|not)\b'
            )
        ) as common
    from answers
    where text is not null and language = 'en'
),

languages as (
    select
        subject,
        case when count(*) >= 20 then avg((common < 0.05 * words)::integer) end as off_language_rate
    from words
    where words >= 12
    group by subject
),

repeated as (
    select
        subject,
        max(n) as most
    from (
        select
            subject,
            text_hash,
            count(*) as n
        from answers
        where text is not null
        group by all
    )
    group by subject
),

spoken as (
    select
        answers.subject,
        count(*) as rows,
        avg((answers.error is not null)::integer) as error_rate,
        avg((not regexp_matches(answers.text, '\S'))::integer) as empty_rate,
        avg(
            regexp_matches(
                answers.text[:80],
                '(?i)^\s*(i''?m (very )?sorry|i am sorry|sorry,|i apologi[sz]e|i can(''t|not) |i am unable|i''m unable|as an ai\b)'
            )::integer
        ) as refusal_rate,
        avg((answers.finish_reason = 'length')::integer) as cut_rate,
        avg((copies.text_hash is not null)::integer) as copied_share,
        avg(answers.contradicted::integer) as contradicted_share,
        avg(length(answers.text)) as mean_chars,
        median(length(answers.text) / nullif(answers.tokens_out, 0)) as chars_per_token
    from answers
    left join copies
        on copies.instruction_id = answers.instruction_id
        and copies.turn = answers.turn
        and copies.text_hash = answers.text_hash
    group by answers.subject
),

planned as (
    select sum(tokens_in + tokens_out) as tokens
    from plans
    where round = $round and stage = $stage and arena = $arena and kind = 'response'
),

whole as (
    select
        '(all)' as subject,
        count(*) as rows,
        if($imported, null, count_if(stranger)) as strangers,
        if($imported, null, count_if(astray)) as astray,
        count_if(created_at < $round::timestamptz - interval 2 day) as early_rows,
        count_if(created_at > current_timestamp + interval 1 hour) as late_rows,
        sum(tokens) / nullif((select planned.tokens from planned), 0) as over_plan
    from answers
)

select
    subject,
    rows,
    missing,
    null::bigint as strangers,
    null::bigint as astray,
    null::bigint as early_rows,
    null::bigint as late_rows,
    null::double as over_plan,
    error_rate,
    case when rows >= 20 then empty_rate end as empty_rate,
    case when rows >= 20 then refusal_rate end as refusal_rate,
    case when rows >= 20 then cut_rate end as cut_rate,
    case when rows >= 20 then most / rows end as repeated_share,
    case when rows >= 20 then copied_share end as copied_share,
    case when rows >= 20 and $imported then contradicted_share end as contradicted_share,
    off_language_rate,
    case when rows >= 20 then mean_chars end as mean_chars,
    case when rows >= 20 then chars_per_token end as chars_per_token
from owed
full join spoken using (subject)
left join repeated using (subject)
left join languages using (subject)
union all by name
select * from whole
order by subject;
