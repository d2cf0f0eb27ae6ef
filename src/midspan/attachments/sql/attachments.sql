-- What becomes of a file's pieces; engine tables of midspan.attachments.

-- name: touch
UPDATE sys_attachment_upload SET sys_updated_on = ? WHERE sys_id = ? AND state = 'receiving';

-- name: take
DELETE FROM sys_attachment_upload WHERE sys_id = ? AND state = 'receiving';

-- name: drop
UPDATE sys_attachment_upload SET state = 'dropped' WHERE sys_id = ?;

-- name: dropped
SELECT sys_id FROM sys_attachment_upload WHERE state = 'dropped' OR sys_updated_on < ? ORDER BY sys_id;

-- name: forget
DELETE FROM sys_attachment_upload WHERE sys_id = ? AND state = 'dropped';

-- name: pieces
SELECT sys_id FROM sys_attachment_doc WHERE sys_attachment = ? ORDER BY position LIMIT 8;

-- name: piece
SELECT data FROM sys_attachment_doc WHERE sys_attachment = ? AND position = ?;

-- name: drop_pieces
DELETE FROM sys_attachment_doc WHERE sys_attachment = ?;

-- name: attributes
SELECT "key", "value" FROM sys_attachment_attribute WHERE sys_attachment = ? ORDER BY "key";

-- name: count_attributes
SELECT COUNT(*) FROM sys_attachment_attribute WHERE sys_attachment = ?;

-- name: drop_attributes
DELETE FROM sys_attachment_attribute WHERE sys_attachment = ?;
