-- Purpose: the part of an arena's instructions that one unit of a judge's work is about.
-- Grain: instruction_id.
-- Inputs: arena_instructions, the rows of instructions/arena.
-- Parameters: $shard (from 0), $shards.
-- Source: none; bookkeeping.
select *
from arena_instructions
qualify (row_number() over (order by instruction_id) - 1) % $shards::bigint = $shard::bigint
order by instruction_id;
