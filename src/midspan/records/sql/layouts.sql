-- name: views
SELECT sys_id, name FROM sys_ui_view

-- name: lists
SELECT sys_id, name, "view", sys_user FROM sys_ui_list
WHERE parent IS NULL AND relationship IS NULL ORDER BY sys_id

-- name: list_elements
SELECT list_id, element FROM sys_ui_list_element
WHERE element IS NOT NULL ORDER BY list_id, COALESCE("position", 0), sys_id

-- name: forms
SELECT sys_id, name, "view" FROM sys_ui_form WHERE sys_user IS NULL ORDER BY sys_id

-- name: form_sections
SELECT sys_ui_form, sys_ui_section FROM sys_ui_form_section
ORDER BY sys_ui_form, COALESCE("position", 0), sys_id

-- name: related_lists
SELECT sys_id, name, "view" FROM sys_ui_related_list WHERE sys_user IS NULL ORDER BY sys_id

-- name: related_entries
SELECT list_id, related_list, filter, order_by FROM sys_ui_related_list_entry
WHERE related_list IS NOT NULL ORDER BY list_id, COALESCE("position", 0), sys_id

-- name: sections
SELECT sys_id, name, "view", caption FROM sys_ui_section WHERE sys_user IS NULL
ORDER BY CASE WHEN caption IS NULL THEN 0 ELSE 1 END, caption, sys_id

-- name: elements
SELECT sys_ui_section, element FROM sys_ui_element
WHERE element IS NOT NULL ORDER BY sys_ui_section, COALESCE("position", 0), sys_id
