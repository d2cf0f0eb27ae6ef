-- name: services
SELECT sys_id, base_uri, namespace, service_id, name FROM sys_ws_definition

-- name: cors_rules
SELECT sys_id, domain, rest_api, use_resource_path, resource_path, access_control_allow_headers,
       exposed_headers, access_control_allow_credentials, max_age, "get", post, put, patch, "delete"
FROM sys_cors_rule WHERE active = ?

-- name: rate_rules
SELECT l.sys_id, l.rest_api, l.version, l.http_method, l.resource, l."table", l.request_limit, l.apply_to,
       l."user", r.name, l.count_by, l.counted_since
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

-- name: access_policies
SELECT sys_id, api, api_path, apply_global, apply_all, apply_all_methods, http_method, apply_all_versions, version,
       apply_all_resources, api_resource, apply_all_tables, api_tablename, all_authn_scheme_authenticate_header
FROM sys_api_access_policy WHERE active = ?

-- name: policy_profiles
SELECT m.api_access_policy, p.sys_id, p.sys_class_name, p.type, p.oauth_entity, p.active
FROM sys_auth_profile_mapping m LEFT JOIN inbound_auth_profile p ON p.sys_id = m.inbound_auth_profile
ORDER BY m.sys_created_on DESC, m.sys_id DESC

-- name: profile_conditions
SELECT m.inbound_auth_profile, a.sys_id, c.all_of, c.none_of
FROM auth_policy_mapping m JOIN auth_policy a ON a.sys_id = m.auth_policy
LEFT JOIN auth_policy_condition c ON c.auth_policy = a.sys_id
WHERE a.active = ?

-- name: filter_criteria
SELECT sys_id, sys_class_name, ranges, roles, groups FROM auth_filter_criteria
