-- name: run
SELECT flow, snapshot, state, source_table, source_record, inputs, fence, name
FROM sys_flow_context WHERE sys_id = ?

-- name: definition
SELECT definition FROM sys_hub_flow_snapshot WHERE sys_id = ?

-- name: newest_version
SELECT COALESCE(MAX(number), 0) FROM sys_hub_flow_snapshot WHERE flow = ?

-- name: begin
UPDATE sys_flow_context SET state = 'IN_PROGRESS', fence = fence + 1, segment = segment + 1,
       started = COALESCE(started, ?), wait_until = NULL, claimed_by = ?, sys_updated_on = ?
WHERE sys_id = ? AND state IN ('QUEUED', 'IN_PROGRESS', 'WAITING')
RETURNING fence

-- name: guard
UPDATE sys_flow_context SET sys_updated_on = ?
WHERE sys_id = ? AND fence = ? AND state = 'IN_PROGRESS'

-- name: wait
UPDATE sys_flow_context SET state = 'WAITING', wait_until = ? WHERE sys_id = ?

-- name: finish
UPDATE sys_flow_context SET state = ?, error = ?, ended = ? WHERE sys_id = ?

-- name: cancel
UPDATE sys_flow_context SET state = 'CANCELLED', fence = fence + 1, ended = ?, cancel_requested = ?
WHERE sys_id = ? AND state IN ('QUEUED', 'IN_PROGRESS', 'WAITING')

-- name: journal
SELECT path, position, kind, state, inputs, outputs, decision, attempts, sys_id
FROM sys_flow_step_run WHERE context = ? ORDER BY position

-- name: seen
SELECT seen FROM sys_flow_trigger_state WHERE sys_id = ?

-- name: see
UPDATE sys_flow_trigger_state SET seen = ?, fired = ? WHERE sys_id = ?

-- name: lock_seen
UPDATE sys_flow_trigger_state SET fired = fired WHERE sys_id = ?

-- name: later_events
SELECT payload FROM sys_outbox WHERE record_id = ? AND sys_id > ? ORDER BY sys_id DESC
