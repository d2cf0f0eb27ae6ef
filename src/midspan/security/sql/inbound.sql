-- name: services
SELECT sys_id, base_uri, namespace, service_id, name FROM sys_ws_definition

-- name: cors_rules
SELECT sys_id, domain, rest_api, use_resource_path, resource_path, access_control_allow_headers,
       exposed_headers, access_control_allow_credentials, max_age, "get", post, put, patch, "delete"
FROM sys_cors_rule WHERE active = ?
