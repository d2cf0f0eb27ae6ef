-- name: active
SELECT sys_id, name, collection, "when", "order", advanced, action_insert, action_update,
       action_delete, action_query, execute_function, filter_condition, condition,
       role_conditions, script, template, abort_action, add_message, message
FROM sys_script WHERE active = ? ORDER BY "order", name, sys_id

-- name: priorities
SELECT impact, urgency, priority FROM dl_u_priority WHERE active = ? ORDER BY "order", sys_id

-- name: actions
SELECT sys_id, name, event_name, condition_script, script
FROM sysevent_script_action WHERE active = ? ORDER BY "order", name, sys_id
