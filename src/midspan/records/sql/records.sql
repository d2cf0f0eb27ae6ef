-- name: create_versions
CREATE TABLE IF NOT EXISTS sys_version (name VARCHAR(80) PRIMARY KEY, version BIGINT NOT NULL)

-- name: versions
SELECT name, version FROM sys_version

-- name: raise_version
INSERT INTO sys_version (name, version) VALUES (?, 1)
ON CONFLICT (name) DO UPDATE SET version = sys_version.version + 1

-- name: tables
SELECT name, label, super_class, is_extendable, ws_access FROM sys_db_object

-- name: fields
SELECT name, element, column_label, internal_type, reference, max_length, mandatory, read_only,
       "unique", display, default_value, audit, attributes, active
FROM sys_dictionary

-- name: overrides
SELECT name, element, column_label, max_length, reference, default_value, default_value_override,
       mandatory, mandatory_override, read_only, read_only_override, attributes
FROM sys_dictionary_override

-- name: choices
SELECT name, element, value, label, sequence, inactive, language FROM sys_choice

-- name: numbers
SELECT category, prefix, maximum_digits, number FROM sys_number

-- name: properties
SELECT name, value FROM sys_properties

-- name: property_readers
SELECT name, type, is_private, read_roles FROM sys_properties

-- name: take_numbers
INSERT INTO sys_counter (sys_id, name, next) VALUES (?, ?, ?)
ON CONFLICT (sys_id) DO UPDATE SET next = sys_counter.next + ?
RETURNING next
