// GlideFilter, TableUtils, GlideTableHierarchy and GlideRecordUtil.
(function (shared) {
'use strict';
const { Object } = shared.intrinsics;
const { STATE, describe, host, javaList, textOf } = shared;
const { assign, completeRow, getRecord, newState, valueIn, wrapState } = shared.records;

function valuesOf(state) {
  const values = Object.create(null);
  if (state.meta === null) return values;
  completeRow(state);
  for (const name of Object.keys(state.meta.fields)) {
    const text = valueIn(state, name);
    if (text !== '') values[name] = text;
  }
  return values;
}

function matchesFilter(record, filter, every) {
  const state = record?.[STATE];
  if (state === undefined || state.meta === null) return false;
  const all = every === undefined || textOf(every) !== 'false';
  return host('query.matches', [state.table, valuesOf(state), textOf(filter), all]);
}

class GlideFilter {
  #filter;
  #title;

  constructor(filter, title) {
    this.#filter = textOf(filter);
    this.#title = textOf(title);
  }

  // Whether a record, as the script sees it at the moment, meets an encoded query.
  static checkRecord(record, filter, every) { return matchesFilter(record, filter, every); }
  match(record, every) { return matchesFilter(record, this.#filter, every); }
  getFilter() { return this.#filter; }
  getTitle() { return this.#title; }
  getDisplayTitle() { return this.#title; }
  setDisplayTitle(title) { this.#title = textOf(title); }
  setCaseSensitive() {} // texts always compare without regard to case
  setEnforceSecurity() {}
}

function ancestorsOf(table) { return describe(table)?.ancestors ?? []; }
function descendantsOf(table) { return (describe(table)?.classes ?? []).filter((name) => name !== table); }
function childrenOf(table) { return descendantsOf(table).filter((name) => describe(name)?.parent === table); }

class TableUtils {
  constructor(table) { this.initialize(table); }

  // Classes of scripts that extend this one are made by it.
  initialize(table) { this.tableName = textOf(table); }

  tableExists(table) { return describe(table === undefined ? this.tableName : textOf(table)) !== null; }
  getTables() { return javaList(ancestorsOf(this.tableName)); }
  getTableExtensions() { return javaList(childrenOf(this.tableName)); }
  getAllExtensions() { return javaList([this.tableName, ...descendantsOf(this.tableName)]); }
  // Parents and descendants, the table itself among them.
  getHierarchy() { return javaList([...ancestorsOf(this.tableName), ...descendantsOf(this.tableName)]); }
  hasExtensions() { return descendantsOf(this.tableName).length > 0; }
  getAbsoluteBase() {
    const chain = ancestorsOf(this.tableName);
    return chain.includes('cmdb_ci') ? 'cmdb_ci' : chain.at(-1) ?? this.tableName;
  }
  isBaseClass() { return ancestorsOf(this.tableName).length === 1 && this.hasExtensions(); }
  isSoloClass() { return ancestorsOf(this.tableName).length === 1 && !this.hasExtensions(); }
  isExtendedFrom(table) { return ancestorsOf(this.tableName).includes(textOf(table)); }
}

class GlideTableHierarchy {
  #table;

  constructor(table) { this.#table = textOf(table); }

  getName() { return this.#table; }
  getBase() { return ancestorsOf(this.#table).at(-1) ?? this.#table; }
  getRoot() { return this.getBase(); }
  getTables() { return [...ancestorsOf(this.#table)]; }
  getTableExtensions() { return childrenOf(this.#table); }
  getAllExtensions() { return [this.#table, ...descendantsOf(this.#table)]; }
  getHierarchy() { return [...ancestorsOf(this.#table), ...descendantsOf(this.#table)]; }
  hasExtensions() { return descendantsOf(this.#table).length > 0; }
  isBaseClass() { return ancestorsOf(this.#table).length === 1 && this.hasExtensions(); }
  isSoloClass() { return ancestorsOf(this.#table).length === 1 && !this.hasExtensions(); }
}

class GlideRecordUtil {
  // The names of the fields of the record's table.
  getFields(record) { return Object.keys(record[STATE].meta?.fields ?? {}); }
  // The record with this id in the class that it is of, or null.
  getGR(table, id) {
    const found = host('record.class', [textOf(table), textOf(id)]);
    if (found === null) return null;
    const real = newState(found, false);
    return getRecord(real, ['sys_id', id]) ? wrapState(real) : null;
  }
  getCIGR(id) { return this.getGR('cmdb_ci', id); }
  getGlideRecordByAttribute(table, name, value) {
    const state = newState(textOf(table), false);
    return getRecord(state, [name, value]) ? wrapState(state) : null;
  }
  getTables(table) { return javaList(ancestorsOf(textOf(table))); }
  populateFromGR(map, record, ignored) {
    completeRow(record[STATE]);
    for (const name of this.getFields(record)) {
      if (ignored?.[name]) continue;
      const text = textOf(record.getValue(name));
      if (text !== '') map[name] = text;
    }
  }
  // All of a map but the identity: that of the record stays its own.
  mergeToGR(map, record, ignored) {
    for (const name of Object.keys(map)) {
      if (!ignored?.[name] && name !== 'sys_id') assign(record[STATE], name, map[name]);
    }
  }
  toHashMap(record) {
    const map = {};
    completeRow(record[STATE]);
    for (const name of this.getFields(record)) map[name] = valueIn(record[STATE], name);
    return map;
  }
}

return { GlideFilter, TableUtils, GlideTableHierarchy, GlideRecordUtil };
})
