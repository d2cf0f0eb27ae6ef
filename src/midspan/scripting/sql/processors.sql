-- name: processors
SELECT sys_id, name, path, parameters, script, roles, require_csrf
FROM sys_processor WHERE active = ? AND type = 'script' ORDER BY sys_created_on, sys_id
