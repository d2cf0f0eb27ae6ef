-- name: services
SELECT sys_id, name, script, wsdl_compliance
FROM sys_web_service WHERE active = ? AND name IS NOT NULL ORDER BY sys_created_on, sys_id

-- name: inputs
SELECT web_service, name FROM sys_web_service_input
WHERE web_service IS NOT NULL AND name IS NOT NULL ORDER BY web_service, "order", name

-- name: outputs
SELECT web_service, name FROM sys_web_service_output
WHERE web_service IS NOT NULL AND name IS NOT NULL ORDER BY web_service, "order", name

-- name: documents
SELECT name, wsdl FROM sys_web_service_wsdl
WHERE name IS NOT NULL ORDER BY sys_created_on DESC, sys_id
