-- Purpose: the words of instructions, as near-duplicates and contamination are looked for.
-- Grain:   one row per instruction of `wanted`.
-- Inputs:  instructions, wanted (instruction_id: the instructions whose words are asked for).
-- Method:  all turns together, composed (NFC) and in lower case; a word is a run of letters, marks and digits of any script.
--          Han and kana have no spaces between words: each such character is a word. Used as a view, so without an order.
select
    instruction_id,
    regexp_extract_all(
        lower(nfc_normalize(array_to_string([turn.content for turn in conversation], chr(10)))),
        '[\p{Han}\p{Hiragana}\p{Katakana}]|[\p{L}\p{M}\p{N}]+'
    ) as words
from instructions
where instruction_id in (select instruction_id from wanted)
