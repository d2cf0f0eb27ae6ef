-- name: forget
DELETE FROM sys_tiny_url WHERE sys_updated_on < ?
