-- Purpose: the battles of loose files in one form, each with its score or the reason why it has none.
-- Grain: file_number, row.
-- Inputs: battle_rows (the columns that were found in the files, as text) and winner_labels (battles/winner_labels).
-- Parameters: none. Made a view, so that every use reads only the columns that it needs; therefore without ORDER BY.
-- Method: score is model_a's, in [0, 1]. By kind of label: 'named', 'numbered' and 'two_games' are looked up in
--   winner_labels; 'preference' is AlpacaEval's (1: the first is better, 2: the second, between: in part, 0: a tie as
--   1.5); 'score_a' and 'score_b' are the share or probability of one side; 'score_pair' compares 'points|points'.
--   A row is unusable, never a tie, if a model is missing or meets itself, or if the label is missing or unknown.
--   position: time order, if every file has times (rows without a readable one come last), else the order of the files.
--   A row without an instruction is an instruction of its own.
--   Style: token and Markdown counts as LMArena publishes them (metadata), else measured as in ratings/answer_style. An answer that is a JSON list is a
--   conversation (its assistant's messages count) or a list of answers, one per turn.
-- Source: kinds of labels as in battles/winner_labels; style features as in FastChat's style control.
with dated_rows as (
    select
        *,
        coalesce(try_cast(time as double), epoch(try_cast(time as timestamptz))) as seconds
    from battle_rows
),

scored_rows as (
    select
        dated_rows.*,
        case kind
            when 'preference'
            then case
                when try_cast(label as double) = 0 then 0.5
                when try_cast(label as double) between 1 and 2 then 2 - try_cast(label as double)
            end
            when 'score_a' then case when try_cast(label as double) between 0 and 1 then try_cast(label as double) end
            when 'score_b' then case when try_cast(label as double) between 0 and 1 then 1 - try_cast(label as double) end
            when 'score_pair'
            then case
                when isfinite(try_cast(split_part(label, '|', 1) as double))
                and isfinite(try_cast(split_part(label, '|', 2) as double))
                then (1 + sign(
                    try_cast(split_part(label, '|', 1) as double) - try_cast(split_part(label, '|', 2) as double)
                )) / 2
            end
            else winner_labels.score
        end::double as score
    from dated_rows
    left join winner_labels using (file_number, label)
),

texts as (
    select
        *,
        list_transform([answer_a, answer_b], lambda answer: if(
            answer like '[%' and json_valid(answer),
            array_to_string(list_transform(
                list_filter(
                    answer::json::json[], lambda part: coalesce(part->>'$.role', 'assistant') = 'assistant'
                ),
                lambda part: if(
                    json_type(part->'$.content') = 'ARRAY',
                    array_to_string(part->>'$.content[*].text', chr(10)),
                    coalesce(part->>'$.content', part->>'$')
                )
            ), chr(10)),
            answer
        )) as answers
    from scored_rows
),

proses as (
    select
        *,
        list_transform(answers, lambda answer: regexp_replace(
            answer, '(?ms)^ {0,3}(?:```.*?(?:^ {0,3}```|\z)|~~~.*?(?:^ {0,3}~~~|\z))', '', 'g'
        )) as proses
    from texts
),

-- Of both answers, model_a's first.
styles as (
    select
        *,
        list_transform(answers, lambda answer: length(answer)::double) as lengths,
        list_transform(
            proses, lambda prose: len(regexp_extract_all(prose, '(?m)^ {0,3}#{1,6}(?:[ \t]|$)'))::double
        ) as headers,
        list_transform(
            proses, lambda prose: len(regexp_extract_all(prose, '\*\*[^*\n]+\*\*|\b__[^_\n]+__\b'))::double
        ) as bold,
        list_transform(
            proses, lambda prose: len(regexp_extract_all(prose, '(?m)^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S'))::double
        ) as lists
    from proses
)

select
    file,
    file_number,
    row,
    row_number() over (order by seconds nulls last, file_number, row) as position,
    seconds,
    coalesce(instruction_id, file_number || '/' || row) as instruction_id,
    try_cast(turn as integer) as turn,
    judge_id,
    model_a,
    model_b,
    label,
    score,
    case
        when model_a is null or model_b is null then 'model missing'
        when model_a = model_b then 'model against itself'
        when label is null then 'label missing'
        when score is null then 'label unknown'
    end as reason,
    subscope,
    coalesce(try_cast(metadata->>'$.sum_assistant_a_tokens' as double), lengths[1]) as length_a,
    coalesce(try_cast(metadata->>'$.sum_assistant_b_tokens' as double), lengths[2]) as length_b,
    coalesce(list_sum(try_cast(metadata->>'$.header_count_a.*' as double[])), headers[1]) as headers_a,
    coalesce(list_sum(try_cast(metadata->>'$.header_count_b.*' as double[])), headers[2]) as headers_b,
    coalesce(list_sum(try_cast(metadata->>'$.bold_count_a.*' as double[])), bold[1]) as bold_a,
    coalesce(list_sum(try_cast(metadata->>'$.bold_count_b.*' as double[])), bold[2]) as bold_b,
    coalesce(list_sum(try_cast(metadata->>'$.list_count_a.*' as double[])), lists[1]) as lists_a,
    coalesce(list_sum(try_cast(metadata->>'$.list_count_b.*' as double[])), lists[2]) as lists_b
from styles;
