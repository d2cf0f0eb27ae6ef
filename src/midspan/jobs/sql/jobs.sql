-- name: insert
INSERT INTO sys_job (sys_id, kind, queue, payload, state, run_at, attempts, max_attempts, deaths, fence,
                     idempotency_key, priority, sys_created_on, sys_created_by, sys_updated_on,
                     sys_updated_by, sys_mod_count)
VALUES (?, ?, ?, ?, 'scheduled', ?, 0, ?, 0, 0, ?, ?, ?, 'system', ?, 'system', 0)
ON CONFLICT DO NOTHING

-- name: by_key
SELECT sys_id FROM sys_job WHERE fold(idempotency_key) = fold(?)

-- name: due
SELECT sys_id, fence FROM sys_job
WHERE ((fold(state) = 'scheduled' AND run_at <= ?) OR (fold(state) = 'waiting' AND run_at <= ?)
       OR (fold(state) = 'running' AND lease_until <= ?))
  AND kind IN (KINDS)
ORDER BY priority, run_at, sys_id LIMIT ?

-- name: next_run
SELECT MIN(run_at) FROM sys_job WHERE fold(state) IN ('scheduled', 'waiting') AND kind IN (KINDS)

-- name: claim
UPDATE sys_job SET state = 'running', fence = fence + 1, claimed_by = ?, lease_until = ?,
                   sys_updated_on = ?,
                   attempts = attempts + CASE WHEN fold(state) = 'running' THEN 0 ELSE 1 END,
                   deaths = COALESCE(deaths, 0) + CASE WHEN fold(state) = 'running' THEN 1 ELSE 0 END
WHERE sys_id = ?
  AND ((fold(state) IN ('scheduled', 'waiting') AND run_at <= ?)
       OR (fold(state) = 'running' AND lease_until <= ?))
RETURNING kind, payload, idempotency_key, fence, attempts, deaths, max_attempts

-- name: renew
UPDATE sys_job SET lease_until = ? WHERE sys_id = ? AND fence = ? AND fold(state) = 'running'

-- name: settle
UPDATE sys_job SET state = ?, run_at = COALESCE(?, run_at), attempts = ?, result = ?, error = ?,
                   deaths = 0, claimed_by = NULL, lease_until = NULL, sys_updated_on = ?
WHERE sys_id = ? AND fence = ? AND fold(state) = 'running'

-- name: release
UPDATE sys_job SET lease_until = ? WHERE fold(state) = 'running' AND claimed_by = ?

-- name: hasten
UPDATE sys_job SET run_at = ? WHERE sys_id = ? AND fold(state) IN ('scheduled', 'waiting')
  AND run_at > ?

-- name: cancel
UPDATE sys_job SET state = 'cancelled', fence = fence + 1, claimed_by = NULL, lease_until = NULL,
                   sys_updated_on = ?
WHERE sys_id = ? AND fold(state) IN ('scheduled', 'waiting', 'running')

-- name: cancel_schedule
DELETE FROM sys_job
WHERE fold(idempotency_key) >= fold(?) AND fold(idempotency_key) < fold(?)
  AND fold(state) = 'scheduled'

-- name: read
SELECT kind, payload, state, attempts, fence, result, error FROM sys_job WHERE sys_id = ?
