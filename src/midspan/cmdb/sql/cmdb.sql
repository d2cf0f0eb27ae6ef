-- name: lock
SELECT pg_advisory_xact_lock(?, ?)

-- name: sweep_partial
DELETE FROM cmdb_ire_partial_payloads WHERE sys_created_on < ?

-- name: sweep_index
DELETE FROM cmdb_ire_partial_payloads_index WHERE sys_created_on < ?

-- name: sweep_incomplete
DELETE FROM cmdb_ire_incomplete_payloads WHERE sys_created_on < ?

-- name: forget_index
DELETE FROM cmdb_ire_partial_payloads_index WHERE partial_payload = ?
