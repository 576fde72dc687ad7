-- Purpose: what is tested on and so must never be trained on.
-- Grain:   one row per (instruction, test set).
-- Inputs:  instructions, contamination, wizard_arena.
-- Method:  every instruction whose split is not train. A conversation that a training source brought first stays that
--          source's row; a test set that has the very same one makes it a test item by a row in contamination.
--          Members of built WizardArena sets come from the training sources and are test items of their version.
--          Used as a view, so without an order.
select instruction_id, source as benchmark, loaded_at as listed_at
from instructions
where split <> 'train'
union all
select instruction_id, benchmark, created_at as listed_at
from contamination
where method = 'identical'
union all
select instruction_id, version as benchmark, created_at as listed_at
from wizard_arena
