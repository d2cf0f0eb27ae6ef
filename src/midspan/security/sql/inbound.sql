-- name: services
SELECT sys_id, base_uri, namespace, service_id, name FROM sys_ws_definition

-- name: cors_rules
SELECT sys_id, domain, rest_api, use_resource_path, resource_path, access_control_allow_headers,
       exposed_headers, access_control_allow_credentials, max_age, "get", post, put, patch, "delete"
FROM sys_cors_rule WHERE active = ?

-- name: rate_rules
SELECT l.sys_id, l.rest_api, l.version, l.http_method, l.resource, l."table", l.request_limit, l.apply_to,
       l."user", r.name, l.count_by
FROM sys_rate_limit_rules l LEFT JOIN sys_user_role r ON r.sys_id = l.role WHERE l.active = ?

-- name: add_count
INSERT INTO sys_rate_limit_count
  (sys_id, rule, "user", address, window_start, request_limit, sys_created_on, sys_updated_on, count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sys_id) DO UPDATE SET count = sys_rate_limit_count.count + excluded.count,
  sys_updated_on = excluded.sys_updated_on
RETURNING count

-- name: add_violations
INSERT INTO sys_rate_limit_violation
  (sys_id, rule, "user", address, window_start, request_limit, sys_created_on, sys_updated_on, count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sys_id) DO UPDATE SET count = sys_rate_limit_violation.count + excluded.count,
  sys_updated_on = excluded.sys_updated_on

-- name: purge_counts
DELETE FROM sys_rate_limit_count WHERE window_start < ?

-- name: purge_violations
DELETE FROM sys_rate_limit_violation WHERE window_start < ?
