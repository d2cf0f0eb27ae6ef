-- name: ready
SELECT sys_id FROM sys_outbox
WHERE fold(state) = 'ready' OR (fold(state) = 'claimed' AND lease_until <= ?)
ORDER BY sys_id LIMIT ?

-- name: claim
UPDATE sys_outbox SET state = 'claimed', claimed_by = ?, lease_until = ?,
                      fence = COALESCE(fence, 0) + 1, attempts = COALESCE(attempts, 0) + 1
WHERE sys_id = ? AND (fold(state) = 'ready' OR (fold(state) = 'claimed' AND lease_until <= ?))
RETURNING event, table_name, record_id, payload, fence, attempts

-- name: settle
UPDATE sys_outbox SET state = ?, error = ?, claimed_by = NULL, lease_until = ?, sys_updated_on = ?
WHERE sys_id = ? AND fence = ? AND fold(state) = 'claimed'

-- name: release
UPDATE sys_outbox SET state = 'ready', lease_until = NULL
WHERE fold(state) = 'claimed' AND claimed_by = ?

-- name: forget
DELETE FROM sys_outbox WHERE fold(state) = 'processed' AND sys_updated_on < ?
