-- name: definitions
SELECT sys_id, service_id, namespace, base_uri, enforce_acl, consumes, consumes_customized,
       produces, produces_customized, default_version
FROM sys_ws_definition WHERE active = ?

-- name: versions
SELECT sys_id, web_service_definition, version_id, version, is_default
FROM sys_ws_version WHERE active = ?

-- name: operations
SELECT sys_id, name, web_service_definition, web_service_version, http_method, relative_path,
       operation_script, requires_authentication, requires_acl_authorization, enforce_acl,
       consumes, consumes_customized, produces, produces_customized
FROM sys_ws_operation WHERE active = ? ORDER BY sys_created_on, sys_id

-- name: company_code
SELECT value FROM sys_properties WHERE name = 'glide.appcreator.company.code'
