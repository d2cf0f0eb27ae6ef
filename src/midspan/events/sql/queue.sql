-- name: register
SELECT event_name, queue FROM sysevent_register

-- name: first
SELECT sys_id FROM sysevent
WHERE fold(state) = 'ready' AND COALESCE(queue, '') = ? AND process_on <= ?
ORDER BY process_on, sys_id LIMIT 1

-- name: take
SELECT sys_id, name, "table", instance, parm1, parm2, queue, user_id, user_name FROM sysevent
WHERE fold(state) = 'ready' AND COALESCE(queue, '') = ? AND process_on <= ?
ORDER BY process_on, sys_id LIMIT 1

-- name: settle
UPDATE sysevent SET state = ?, error_string = ?, processing_duration = ?, processed = ?,
                    sys_updated_on = ?
WHERE sys_id = ?

-- name: forget
DELETE FROM sysevent WHERE fold(state) IN ('processed', 'error') AND processed < ?

-- name: forget_log
DELETE FROM syslog WHERE sys_created_on < ?
