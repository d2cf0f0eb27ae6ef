-- name: includes
SELECT include.sys_id, include.name, scope.scope, include.access, include.script,
    include.client_callable
FROM sys_script_include include LEFT JOIN sys_scope scope ON scope.sys_id = include.sys_scope
WHERE include.active = ? ORDER BY include.name, include.sys_id

-- name: shared
SELECT sys_id, script FROM sys_script
WHERE collection = 'global' AND active = ? AND advanced = ? AND script IS NOT NULL
ORDER BY "order", name, sys_id

-- name: scopes
SELECT scope FROM sys_scope WHERE scope IS NOT NULL

-- name: modes
SELECT "table", id, use_es_latest FROM sys_es_latest_script
