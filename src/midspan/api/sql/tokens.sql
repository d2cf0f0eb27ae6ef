-- name: use_token
UPDATE sys_token SET used = ? WHERE sys_id = ? AND used IS NULL

-- name: purge_credentials
DELETE FROM oauth_credential WHERE peer = ? AND "user" = ? AND expires < ?

-- name: use_credential
UPDATE oauth_credential SET revoked = ? WHERE sys_id = ? AND revoked IS NULL

-- name: purge_assertions
DELETE FROM sys_token WHERE purpose = 'jti' AND expires < ?
