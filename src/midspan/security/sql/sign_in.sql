-- name: user_by_name
SELECT sys_id, user_name, name, user_password, active,
  CASE WHEN locked_out OR password_needs_reset THEN 1 ELSE 0 END, time_zone, date_format, time_format, session_epoch,
  manager, company, department, location
FROM sys_user WHERE fold(user_name) = fold(?)

-- name: user_by_id
SELECT sys_id, user_name, name, user_password, active, locked_out, time_zone, date_format, time_format, session_epoch,
  manager, company, department, location
FROM sys_user WHERE sys_id = ?

-- name: versions
SELECT version FROM sys_version WHERE name IN ('rights', 'users') ORDER BY name

-- name: groups_of_user
SELECT "group" FROM sys_user_grmember WHERE "user" = ?

-- name: roles_of_user
SELECT role FROM sys_user_has_role WHERE "user" = ? AND (state IS NULL OR state = 'active')
UNION
SELECT r.role FROM sys_group_has_role r JOIN sys_user_grmember m ON m."group" = r."group" WHERE m."user" = ?

-- name: roles
SELECT sys_id, name FROM sys_user_role

-- name: role_contains
SELECT role, contains FROM sys_user_role_contains

-- name: access_rules
SELECT sys_id, name, operation, condition, script, advanced, admin_overrides, type
FROM sys_security_acl WHERE active = ?

-- name: access_rule_roles
SELECT sys_security_acl, sys_user_role FROM sys_security_acl_role

-- name: data_keys
SELECT sys_id, wrapped, created FROM sys_data_key ORDER BY created, sys_id

-- name: add_data_key
INSERT INTO sys_data_key (sys_id, wrapped, created) VALUES (?, ?, ?)

-- name: failures
SELECT sys_id, owed_until, succeeded_at FROM sys_sign_in_failure WHERE sys_id IN (?, ?, ?)

-- name: add_failure
INSERT INTO sys_sign_in_failure (sys_id, owed_until) VALUES (?, ?)
ON CONFLICT (sys_id) DO UPDATE SET owed_until = CASE
  WHEN sys_sign_in_failure.owed_until > ? THEN sys_sign_in_failure.owed_until ELSE ? END + ?

-- name: note_success
INSERT INTO sys_sign_in_failure (sys_id, owed_until, succeeded_at) VALUES (?, 0, ?)
ON CONFLICT (sys_id) DO UPDATE SET owed_until = 0, succeeded_at = excluded.succeeded_at

-- name: purge_failures
DELETE FROM sys_sign_in_failure WHERE owed_until < ? AND (succeeded_at IS NULL OR succeeded_at < ?)
