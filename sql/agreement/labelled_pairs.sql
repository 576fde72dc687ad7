-- Purpose: pairs of answers that people compared, with what most of them said.
-- Grain: row (of the file, from 1).
-- Inputs: pair_rows (the columns found in the file) and winner_labels (battles/winner_labels, of file 1).
-- Parameters: none.
-- Method: score is the share of output_1: 1 where it is better, 0 where output_2 is, 0.5 for a tie. Of several people the
--   label that most of them gave counts; labels that are missing or not known have no vote.
--   A row is unusable, never a tie, if no label is known, if no label has the most votes, if the instruction is blank, if
--   an answer is missing (an empty one is an answer), or if its pair_id is there twice. reason says which.
--   instruction holds the input as well, after an empty line. Equal instructions have one instruction_id, and pairs with
--   the same texts in the same order one content_id.
-- Source: majority of annotators as in PandaLM (arXiv 2306.05087) and LLMBar (arXiv 2310.07641).
with votes as (
    select
        pair_rows.row,
        count(found.label) as labels,
        count(winner_labels.score) as known,
        count_if(winner_labels.score = 1) as wins,
        count_if(winner_labels.score = 0.5) as ties,
        count_if(winner_labels.score = 0) as losses
    from pair_rows
    left join (select row, unnest(labels) as label from pair_rows) as found using (row)
    left join winner_labels on winner_labels.file_number = 1 and winner_labels.label = found.label
    group by pair_rows.row
),

pairs as (
    select
        pair_rows.row,
        coalesce(pair_rows.pair_id, pair_rows.row::varchar) as pair_id,
        nullif(
            concat_ws(chr(10) || chr(10), nullif(trim(pair_rows.instruction), ''), nullif(trim(pair_rows.input), '')), ''
        ) as instruction,
        pair_rows.output_1,
        pair_rows.output_2,
        pair_rows.category,
        votes.labels,
        votes.known,
        case
            when votes.wins > greatest(votes.ties, votes.losses) then 1.0
            when votes.ties > greatest(votes.wins, votes.losses) then 0.5
            when votes.losses > greatest(votes.wins, votes.ties) then 0.0
        end::double as score
    from pair_rows
    inner join votes using (row)
)

select
    row,
    pair_id,
    sha256(instruction) as instruction_id,
    sha256(concat_ws(chr(31), instruction, output_1, output_2)) as content_id,
    instruction,
    output_1,
    output_2,
    category,
    score,
    case
        when count(*) over (partition by pair_id) > 1 then 'pair_id is there twice'
        when instruction is null then 'instruction missing'
        when output_1 is null or output_2 is null then 'answer missing'
        when labels = 0 then 'label missing'
        when known = 0 then 'label unknown'
        when score is null then 'no majority'
    end as reason
from pairs
order by row;
