-- Purpose: what scores each judge gives to answers of different lengths.
-- Grain: judge_id, band (of the answer's length).
-- Inputs: verdicts, responses.
-- Parameters: $round (the last round that counts).
-- Method: every parsed game scores two answers. A band holds the lengths from shortest to below twice as many characters. A rising
--   line is no proof of a bias: longer answers may also be better. deviation is the standard deviation of the scores.
with answers as (
    select
        response_id,
        any_value(length(text)) as characters
    from responses
    where text is not null
    group by response_id
),

scores as (
    select judge_id, response_a as response_id, score_a as score
    from verdicts
    where parse_status = 'ok' and round <= $round
    union all
    select judge_id, response_b as response_id, score_b as score
    from verdicts
    where parse_status = 'ok' and round <= $round
)

select
    scores.judge_id,
    floor(log2(greatest(answers.characters, 1)))::integer as band,
    (2 ** floor(log2(greatest(answers.characters, 1))))::bigint as shortest,
    count(*) as scores,
    round(avg(scores.score), 9) as mean_score,
    round(stddev_samp(scores.score), 9) as deviation
from scores
inner join answers on answers.response_id = scores.response_id
group by all
order by scores.judge_id, band;
