-- Purpose: what the winner labels found in battle files mean: the one place that knows how people write down a result.
-- Grain: file_number, label (as written); labels that are not known have no row.
-- Inputs: battle_rows.
-- Parameters: none.
-- Method: score is model_a's: 1 win, 0.5 tie, 0 loss. Case, white space, underscores and brackets do not matter:
--   'model_a', 'Model A', 'A', '[[A]]', 'A>B', '[[A>>B]]', 'left' and 'response 1' are the same. A strong win counts as a win,
--   and both ways to tie ('tie (bothbad)', 'both_bad') as a tie.
--   A bare number names a side only where the sides are numbered (model_1, model_2: kind 'numbered'); there 1.5 is a tie,
--   and 0 too, if 2 occurs in the file. A file with 0 and without 2 may count its sides from zero: its numbers stay unknown.
--   Two games of one pair in exchanged order (kind 'two_games', 'first|second' in one frame): a result on which both agree
--   counts, two different results are a tie. If either is unknown or an error, so is the pair.
-- Source: labels of FastChat, LMArena, arena-hard-auto, PandaLM, AlpacaEval and evalica; two games as in FastChat's
--   compute_agreement.py: the spirit of battles/merge_games, for labels instead of scores.
with sides (side, score) as (
    values ('a', 1), ('b', 0), ('1', 1), ('2', 0), ('left', 1), ('right', 0)
),

nouns (noun) as (
    values (''), ('model'), ('assistant'), ('response'), ('answer'), ('output'), ('competitor'), ('player'), ('generator')
),

words (word, score) as (
    select noun || side, score::double from nouns cross join sides
    union all
    values
    ('a>b', 1), ('a>>b', 1), ('b<a', 1), ('b<<a', 1),
    ('b>a', 0), ('b>>a', 0), ('a<b', 0), ('a<<b', 0),
    ('tie', 0.5), ('draw', 0.5), ('c', 0.5), ('a=b', 0.5), ('b=a', 0.5), ('0', 0.5), ('1.5', 0.5),
    ('bothbad', 0.5), ('tiebothbad', 0.5), ('bothgood', 0.5), ('tiebothgood', 0.5), ('tieinconsistent', 0.5)
),

found_labels as (
    select distinct
        file_number,
        kind,
        label
    from battle_rows
    where kind in ('named', 'numbered', 'two_games') and label is not null
),

found_words as (
    select
        file_number,
        kind,
        label,
        unnest(if(kind = 'two_games', string_split(label, '|'), [label])) as game,
        regexp_replace(regexp_replace(lower(game), '[\s_()\[\]]', '', 'g'), '^(\d)\.0+$', '\1') as word,
        word in ('0', '1', '2', '1.5') as is_number
    from found_labels
),

files as (
    select
        file_number,
        bool_or(word = '0') and not bool_or(word = '2') as counts_from_zero
    from found_words
    group by file_number
),

found_scores as (
    select
        file_number,
        label,
        score
    from found_words
    inner join files using (file_number)
    left join words
        on words.word = found_words.word
        and not (is_number and (kind = 'named' or counts_from_zero))
)

select
    file_number,
    label,
    case when min(score) = max(score) then min(score) else 0.5 end as score
from found_scores
group by file_number, label
having count(score) = count(*)
order by file_number, label;
