-- name: definitions
SELECT sys_id, service_id, namespace, base_uri, enforce_acl, consumes, consumes_customized,
       produces, produces_customized, default_version, name
FROM sys_ws_definition WHERE active = ?

-- name: versions
SELECT sys_id, web_service_definition, version_id, version, is_default, deprecated
FROM sys_ws_version WHERE active = ?

-- name: operations
SELECT sys_id, name, web_service_definition, web_service_version, http_method, relative_path,
       operation_script, requires_authentication, requires_acl_authorization, enforce_acl,
       consumes, consumes_customized, produces, produces_customized, short_description,
       request_example
FROM sys_ws_operation WHERE active = ? ORDER BY sys_created_on, sys_id

-- name: company_code
SELECT value FROM sys_properties WHERE name = 'glide.appcreator.company.code'

-- name: parameters
SELECT link.web_service_operation, parameter.name, parameter.is_required, parameter.example_value,
       parameter.short_description
FROM sys_ws_query_parameter_map link
JOIN sys_ws_query_parameter parameter ON parameter.sys_id = link.web_service_query_parameter
WHERE parameter.name IS NOT NULL ORDER BY parameter.name, parameter.sys_id

-- name: headers
SELECT link.web_service_operation, header.name, header.is_required, header.example_value,
       header.short_description
FROM sys_ws_header_map link JOIN sys_ws_header header ON header.sys_id = link.web_service_header
WHERE header.name IS NOT NULL ORDER BY header.name, header.sys_id
