-- Purpose: battles with the standardised style difference of the two answers, as ratings/style_estimates fits them.
-- Grain: battle of a scope whose style is known.
-- Inputs: scoped_battles; style_pairs, the rows of ratings/style_pairs; clusters, the rows of resampling/clusters (none where
--   nothing is resampled).
-- Parameters: none.
-- Method:
--   A difference is (a - b) / (a + b), 0 where neither answer has any. score and differences belong to the model of the
--   pair that sorts first.
--   Differences are divided by their root mean square over the scope. That is the standard deviation when every battle is
--   counted both ways round (the mean is then 0). Subtracting the mean of one way round, as others do, would hand a bonus
--   to whoever happens to be called model_a.
--   The features of a scope are those that any of its battles knows. A battle that lacks one of them is left out, not
--   guessed. A feature that nobody knows, or in which no two answers differ, is 0.
-- Source: features of LMSYS' style control (https://lmsys.org/blog/2024-08-28-style-control/).
with differences as (
    select
        scope,
        instruction_id,
        least(model_a, model_b) as model_a,
        greatest(model_a, model_b) as model_b,
        if(model_a < model_b, 1, -1) as direction,
        if(model_a < model_b, score, 1 - score) as score,
        direction * if(length_a = length_b, 0, (length_a - length_b) / (length_a + length_b)) as length,
        direction * if(headers_a = headers_b, 0, (headers_a - headers_b) / (headers_a + headers_b)) as headers,
        direction * if(bold_a = bold_b, 0, (bold_a - bold_b) / (bold_a + bold_b)) as bold,
        direction * if(lists_a = lists_b, 0, (lists_a - lists_b) / (lists_a + lists_b)) as lists,
        -- Four bits: which features this battle knows.
        if(length is null, 0, 1) + if(headers is null, 0, 2) + if(bold is null, 0, 4) + if(lists is null, 0, 8) as known
    from scoped_battles
),

scales as (
    select
        scope,
        known,
        nullif(sqrt(avg(length * length)), 0) as length,
        nullif(sqrt(avg(headers * headers)), 0) as headers,
        nullif(sqrt(avg(bold * bold)), 0) as bold,
        nullif(sqrt(avg(lists * lists)), 0) as lists
    from differences
    inner join (select scope, bit_or(known) as known from differences group by scope) using (scope, known)
    where known > 0
    group by scope, known
)

-- Sums of floats depend on how threads share the rows, in the last digits: 9 decimals do not.
select
    pair,
    cluster,
    score,
    round(coalesce(differences.length / scales.length, 0), 9) as length,
    round(coalesce(differences.headers / scales.headers, 0), 9) as headers,
    round(coalesce(differences.bold / scales.bold, 0), 9) as bold,
    round(coalesce(differences.lists / scales.lists, 0), 9) as lists
from differences
inner join scales using (scope, known)
inner join style_pairs using (scope, model_a, model_b)
left join clusters using (scope, instruction_id)
order by all;
