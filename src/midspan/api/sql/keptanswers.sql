-- name: find
SELECT asked, answer FROM sys_idempotency_key WHERE sys_id = ? AND expires > ?

-- name: forget
DELETE FROM sys_idempotency_key WHERE sys_id = ?

-- name: any_expired
SELECT 1 FROM sys_idempotency_key WHERE expires <= ? LIMIT 1

-- name: sweep
DELETE FROM sys_idempotency_key WHERE expires <= ?

-- name: take
SELECT pg_try_advisory_xact_lock(?)
