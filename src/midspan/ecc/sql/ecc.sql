-- name: code_by_hash
SELECT sys_id, name, expires, used FROM ecc_agent_enrolment WHERE fold(code_hash) = fold(?)

-- name: use_code
UPDATE ecc_agent_enrolment SET used = ?, agent = ?, sys_updated_on = ?
WHERE sys_id = ? AND used IS NULL

-- name: key_of
SELECT k.sys_id, k.signing_key, k.sealing_key, k.generation, a.name, a.validated, a.paused, a.status
FROM ecc_agent_key k JOIN ecc_agent a ON a.sys_id = k.agent
WHERE k.agent = ? AND k.withdrawn IS NULL

-- name: key_by_signing
SELECT sys_id, agent FROM ecc_agent_key WHERE signing_key = ?

-- name: withdraw
UPDATE ecc_agent_key SET withdrawn = ? WHERE agent = ? AND withdrawn IS NULL

-- name: raise_generation
UPDATE ecc_agent_key SET generation = ? WHERE sys_id = ? AND generation < ?

-- name: admit
INSERT INTO ecc_agent_nonce (sys_id, agent, expires, sys_created_on) VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING

-- name: forget_nonces
DELETE FROM ecc_agent_nonce WHERE expires < ?

-- name: seen
UPDATE ecc_agent SET status = ?, last_refreshed = ? WHERE sys_id = ?

-- name: mark_down
UPDATE ecc_agent SET status = 'Down', stopped = ?
WHERE fold(status) IN ('up', 'paused', 'degraded') AND last_refreshed < ?

-- name: waiting
SELECT 1 FROM ecc_queue
WHERE mid_server = ? AND fold(queue) = 'output' AND fold(state) = 'ready' AND topic IN (TOPICS)
LIMIT 1

-- name: ready
SELECT sys_id, COALESCE(fence, 0), claimed_by FROM ecc_queue
WHERE mid_server = ? AND fold(queue) = 'output' AND fold(state) = 'ready' AND topic IN (TOPICS)
ORDER BY COALESCE(priority, 2), sys_created_on, sequence, sys_id LIMIT ? LOCK

-- name: claim
UPDATE ecc_queue SET state = 'processing', claimed_by = ?, lease_until = ?, fence = ?,
                     attempts = COALESCE(attempts, 0) + 1, sys_updated_on = ?
WHERE sys_id = ? AND COALESCE(fence, 0) = ? AND fold(state) = 'ready'

-- name: held_by
SELECT sys_id, fence, COALESCE(cancel_requested, FALSE) FROM ecc_queue
WHERE claimed_by = ? AND fold(queue) = 'output' AND fold(state) = 'processing'

-- name: hold
UPDATE ecc_queue SET state = 'processing', lease_until = ?
WHERE sys_id = ? AND fence = ? AND claimed_by = ? AND fold(state) IN ('processing', 'ready')

-- name: job
SELECT state, COALESCE(fence, 0), claimed_by, mid_server FROM ecc_queue WHERE sys_id = ?

-- name: release
UPDATE ecc_queue SET state = 'ready', claimed_by = NULL, lease_until = NULL, sys_updated_on = ?
WHERE sys_id = ? AND fence = ? AND claimed_by = ? AND fold(state) IN ('processing', 'ready')

-- name: reopened
SELECT sys_id FROM ecc_queue
WHERE fold(state) = 'processing' AND lease_until < ? AND fold(queue) = 'output'
  AND COALESCE(repeatable, FALSE) = TRUE
ORDER BY sys_id LIMIT 100

-- name: reopen
UPDATE ecc_queue SET state = 'ready', lease_until = NULL, sys_updated_on = ?
WHERE sys_id = ? AND fold(state) = 'processing' AND lease_until < ?

-- name: expired
SELECT sys_id FROM ecc_queue
WHERE fold(state) = 'processing' AND lease_until < ? AND fold(queue) = 'output'
  AND COALESCE(repeatable, FALSE) = FALSE
ORDER BY sys_id LIMIT 100

-- name: expire
UPDATE ecc_queue SET lease_until = NULL, fence = fence + 1
WHERE sys_id = ? AND fold(state) = 'processing' AND lease_until < ?

-- name: block_count
SELECT COUNT(*) FROM ecc_block WHERE output = ? AND fence = ?

-- name: block_digests
SELECT digest, row_count FROM ecc_block WHERE output = ? AND fence = ? ORDER BY number

-- name: block_digest
SELECT digest FROM ecc_block WHERE output = ? AND fence = ? AND number = ?

-- name: block_content
SELECT content FROM ecc_block WHERE output = ? AND fence = ? AND number = ?

-- name: drop_blocks
DELETE FROM ecc_block WHERE output = ?
