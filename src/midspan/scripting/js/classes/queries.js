// GlideQuery: a builder that never changes, rows as plain objects, mistakes as errors.
(function (shared) {
'use strict';
const { Error, Number, Object } = shared.intrinsics;
const { STATE, describe, host, textOf } = shared;
const { Optional, streamOf } = shared.part('streams');
const {
  GlideAggregate, NUMERIC, aggregateValue, assign, changeOf, displayIn, elementAt, elementField, elementText,
  encoded, groupValue, idOf, insertRow, newState, queryOf, runAggregate, runQuery, step, updateRow, wrapState, write,
} = shared.records;

const WHERE_OPERATORS = [
  '=', '!=', '>', '>=', '<', '<=', 'IN', 'NOT IN', 'STARTSWITH', 'ENDSWITH', 'CONTAINS',
  'DOES NOT CONTAIN', 'INSTANCEOF', 'SAMEAS', 'NSAMEAS', 'GT_FIELD', 'LT_FIELD',
  'GT_OR_EQUALS_FIELD', 'LT_OR_EQUALS_FIELD', 'BETWEEN', 'DYNAMIC', 'EMPTYSTRING', 'ANYTHING',
  'LIKE', 'NOT LIKE', 'ON',
];
const AGGREGATES = ['sum', 'avg', 'min', 'max', 'count'];
const CHECKED_OPERATORS = ['=', '!='];

function knownTable(table) {
  const meta = describe(textOf(table));
  if (meta === null) throw new Error(`Unknown table '${textOf(table)}'`);
  return meta;
}

// The description of a field, maybe behind references.
function knownField(table, path) {
  let meta = knownTable(table);
  let field;
  for (const name of path.split('.')) {
    field = meta?.fields[name];
    if (field === undefined) {
      const known = Object.keys(meta?.fields ?? {}).sort().join(', ');
      throw new Error(`Unable to find field '${name}' in table '${meta?.name ?? table}'. Known fields: ${known}`);
    }
    meta = field.reference ? describe(field.reference) : null;
  }
  return field;
}

// Refuses values that a field cannot have.
function checkValue(table, path, value) {
  const field = knownField(table, path);
  const text = textOf(value);
  if (text === '' || text.startsWith('javascript:')) return;
  const unfit = NUMERIC.includes(field.storage) ? Number.isNaN(Number(text))
    : field.storage === 'boolean' && !['true', 'false', '0', '1'].includes(text);
  if (unfit) {
    throw new Error(`Unable to match value ['${text}'] with field '${path}' in table '${table}'. `
      + `Expecting type '${field.type}'`);
  }
  const allowed = (field.choices ?? []).map((choice) => choice.value);
  if (allowed.length > 0 && field.type === 'choice' && !allowed.includes(text)) {
    throw new Error(`Invalid value '${text}' for field '${path}' in table '${table}'. Allowed values: ${allowed.join(', ')}`);
  }
}

function splitFlag(path) {
  const [field, flag] = textOf(path).split('$');
  if (flag !== undefined && !['DISPLAY', 'CURRENCY_CODE', 'CURRENCY_DISPLAY', 'CURRENCY_STRING'].includes(flag)) {
    throw new Error(`Unknown flag '${flag}' of field '${field}'. There are DISPLAY, CURRENCY_CODE, CURRENCY_DISPLAY, CURRENCY_STRING`);
  }
  return [field, flag];
}

function nativeValue(field, text) {
  if (text === '' || text === null) return null;
  if (field.storage === 'boolean') return text === 'true';
  return NUMERIC.includes(field.storage) ? Number(text) : text;
}

function selectedValue(state, path) {
  const [field, flag] = splitFlag(path);
  const element = elementAt(state, field);
  if (flag === undefined) return nativeValue(elementField(element), elementText(element));
  if (flag === 'CURRENCY_CODE') return elementText(element) === '' ? null : 'USD';
  return displayIn(state, field) || (flag === 'DISPLAY' ? '' : null);
}

// `a.b` becomes an object within the object; a field that also has its own value keeps it.
function putNested(row, path, value) {
  const names = path.split('.');
  let at = row;
  for (const name of names.slice(0, -1)) {
    if (typeof at[name] !== 'object' || at[name] === null) at[name] = {};
    at = at[name];
  }
  at[names.at(-1)] = value;
}

function firstSteps(fields) {
  return fields.map((path) => splitFlag(path)[0].split('.')[0]);
}

function rowOf(state, fields) {
  const row = {};
  for (const path of fields) putNested(row, path, selectedValue(state, path));
  row.sys_id = idOf(state);
  return row;
}

function whereTerm(table, args) {
  const [path, second, third] = args;
  const operator = args.length > 2 ? textOf(second).trim() : '=';
  const value = args.length > 2 ? third : second;
  const field = textOf(path);
  knownField(table, field);
  if (!WHERE_OPERATORS.includes(operator)) {
    throw new Error(`Unknown operator '${operator}'. Known operators: ${WHERE_OPERATORS.join(', ')}`);
  }
  if (value === undefined) throw new Error(`The value for field '${field}' is undefined; use whereNull for empty fields`);
  if (CHECKED_OPERATORS.includes(operator)) checkValue(table, field, value);
  return [field, operator, textOf(value)];
}

class GlideQuery {
  #steps;

  constructor(table, steps) {
    this.table = table === undefined ? undefined : textOf(table);
    this.type = 'GlideQuery';
    this.#steps = steps ?? [];
    if (this.table !== undefined) knownTable(this.table);
  }

  static parse(table, text) {
    const query = new GlideQuery(table);
    if (!host('query.check', [query.table, textOf(text)])) {
      throw new Error(`Cannot parse the encoded query '${textOf(text)}' for table '${query.table}'`);
    }
    return query.#with({ kind: 'text', text: textOf(text) });
  }

  get plan() { return this.#steps.map((step) => ({ ...step })); }

  #with(step) { return new GlideQuery(this.table, [...this.#steps, step]); }

  #where(joint, args) {
    if (joint === 'or' && this.#steps.at(-1)?.kind !== 'where') {
      throw new Error('orWhere has to follow where, whereNull or whereNotNull');
    }
    const [first] = args;
    if (first instanceof GlideQuery) return this.#with({ kind: 'where', joint, nested: first.#steps });
    return this.#with({ kind: 'where', joint, args });
  }

  where(...args) { return this.#where('and', args); }
  orWhere(...args) { return this.#where('or', args); }
  whereNull(field) { return this.#where('and', [field, 'ISEMPTY']); }
  whereNotNull(field) { return this.#where('and', [field, 'ISNOTEMPTY']); }
  orWhereNull(field) { return this.#where('or', [field, 'ISEMPTY']); }
  orWhereNotNull(field) { return this.#where('or', [field, 'ISNOTEMPTY']); }
  orderBy(...fields) {
    return namesIn(fields).reduce((query, field) => query.#with({ kind: 'order', args: [field], descending: false }), this);
  }
  orderByDesc(...args) {
    if (args.length === 2 && AGGREGATES.includes(textOf(args[0]))) return this.#with({ kind: 'sort', args });
    return namesIn(args).reduce((query, field) => query.#with({ kind: 'order', args: [field], descending: true }), this);
  }
  limit(most) {
    if (!(Number(most) > 0)) throw new Error(`limit(most): '${textOf(most)}' is no positive number`);
    return this.#with({ kind: 'limit', most: Number(most) });
  }
  groupBy(...fields) { return this.#with({ kind: 'group', fields: fields.flat().map(textOf) }); }
  aggregate(type, field) { return this.#with({ kind: 'aggregate', type: aggregateType(type), field }); }
  having(type, field, operator, value) {
    return this.#with({ kind: 'having', type: aggregateType(type), field, operator: textOf(operator), value });
  }
  disableWorkflow() { return this.#with({ kind: 'no rules' }); }
  disableAutoSysFields() { return this.#with({ kind: 'no system fields' }); }
  forceUpdate() { return this.#with({ kind: 'force' }); }
  withAcls() { return this.#with({ kind: 'secure' }); }
  withSecurityDataFilters() { return this; }

  // Reading
  select(...fields) {
    const names = this.#checked(fields.flat());
    if (this.#has('group') || this.#has('aggregate')) return this.#groups();
    this.#state(); // mistakes are told here, not where the stream is consumed
    return streamOf(() => {
      const state = this.#state();
      state.reads = firstSteps(names);
      runQuery(state);
      return () => (step(state) ? { value: rowOf(state, names) } : null);
    });
  }
  selectOne(...fields) {
    const query = this.limit(1);
    const names = this.#checked(fields.flat());
    return this.#optional(() => {
      const state = query.#state();
      state.reads = firstSteps(names);
      runQuery(state);
      return step(state) ? rowOf(state, names) : null;
    });
  }
  get(id, fields) { return this.where('sys_id', textOf(id)).selectOne(...(fields ?? [])); }
  getBy(values, fields) {
    const query = Object.keys(values).reduce((found, name) => found.where(name, values[name]), this);
    return query.selectOne(...(fields ?? []));
  }
  count() { return Number(this.#single('count', null) ?? 0); }
  sum(field) { return this.#number('sum', field); }
  avg(field) { return this.#number('avg', field); }
  min(field) { return this.#optional(() => this.#single('min', textOf(field))); }
  max(field) { return this.#optional(() => this.#single('max', textOf(field))); }

  // Writing
  insert(values, fields) {
    const state = this.#state();
    state.fresh = true;
    this.#assign(state, values);
    const names = this.#checked([...Object.keys(values), ...(fields ?? [])]);
    this.#written(insertRow(state), state, 'insert');
    return Optional.of(rowOf(state, names));
  }
  update(values = {}, fields = []) {
    const state = this.limit(1).#state();
    const byId = this.#steps.some((one) => one.kind === 'where' && textOf(one.args?.[0]) === 'sys_id');
    if (!byId) throw new Error("update() needs a where('sys_id', id); use updateMultiple() for several records");
    runQuery(state);
    if (!step(state)) return this.#none();
    this.#assign(state, values);
    const names = this.#checked([...Object.keys(values), ...fields]);
    this.#written(updateRow(state), state, 'update');
    return Optional.of(rowOf(state, names));
  }
  insertOrUpdate(values, fields) {
    const { sys_id: id, ...others } = values;
    if (id === undefined) return this.insert(values, fields);
    const found = this.where('sys_id', textOf(id)).update(others, fields);
    return found.isPresent() ? found : this.insert(values, fields);
  }
  updateMultiple(values) {
    const state = this.#state();
    if (state.limit !== null) throw new Error('updateMultiple() cannot be used with limit()');
    this.#assign(state, values);
    const change = { ...changeOf(state), query: queryOf(state) };
    return { rowCount: this.#written(write(state, 'record.updateMultiple', change), state, 'update').count };
  }
  deleteMultiple() {
    const state = this.#state();
    if (state.limit !== null) throw new Error('deleteMultiple() cannot be used with limit()');
    this.#written(write(state, 'record.deleteMultiple', { ...changeOf(state), query: queryOf(state) }), state, 'delete');
  }
  del() { this.deleteMultiple(); }

  toGlideRecord() { return this.#has('aggregate') ? this.#aggregate() : wrapState(this.#state()); }
  toString() { return `GlideQuery<${this.table}> ${encoded(this.#state())}`; }

  #has(kind) { return this.#steps.some((one) => one.kind === kind); }

  #checked(fields) {
    for (const path of fields) knownField(this.table, splitFlag(path)[0]);
    return fields.map(textOf);
  }

  #none() { return Optional.empty(`no record of ${this.table} matches ${encoded(this.#state()) || 'the query'}`); }

  #optional(find) {
    const query = this;
    return new Optional(STATE, find, `no record of ${query.table} matches ${encoded(query.#state()) || 'the query'}`);
  }

  #terms(steps) {
    const terms = [];
    for (const one of steps) {
      if (one.kind !== 'where') throw new Error('A nested query may only have where clauses');
      const joint = terms.length === 0 ? '' : one.joint;
      if (one.nested !== undefined) terms.push([joint, this.#terms(one.nested)]);
      else if (['ISEMPTY', 'ISNOTEMPTY'].includes(one.args[1]) && one.args.length === 2) {
        knownField(this.table, textOf(one.args[0]));
        terms.push([joint, textOf(one.args[0]), one.args[1], '']);
      } else terms.push([joint, ...whereTerm(this.table, one.args)]);
    }
    return terms;
  }

  #state() {
    if (this.table === undefined) throw new Error('A query without a table can only be nested in another one');
    const state = newState(this.table, this.#has('secure'));
    state.rules = !this.#has('no rules');
    state.systemFields = !this.#has('no system fields');
    state.force = this.#has('force');
    for (const one of this.#steps) {
      if (one.kind === 'text') state.conditions.push({ text: one.text, terms: [] });
      else if (one.kind === 'limit') state.limit = one.most;
      else if (one.kind === 'order') {
        knownField(this.table, textOf(one.args[0]));
        state.order.push([textOf(one.args[0]), one.descending]);
      } else if (one.kind === 'where') {
        const last = state.conditions.at(-1);
        const terms = this.#terms([one]);
        if (one.joint === 'or') last.terms.push(['or', ...terms[0].slice(1)]);
        else state.conditions.push({ terms });
      }
    }
    return state;
  }

  #assign(state, values) {
    for (const name of Object.keys(values)) {
      checkValue(this.table, name, values[name]);
      assign(state, name, values[name]);
    }
  }

  #written(outcome, state, verb) {
    if (outcome === null) throw new Error(`Unable to ${verb} a record of ${this.table}: ${state.error ?? 'refused'}`);
    return outcome;
  }

  #aggregate() {
    const state = this.#state();
    const record = new GlideAggregate(this.table);
    Object.assign(record[STATE], { conditions: state.conditions, order: state.order, limit: state.limit, secure: state.secure });
    if (!this.#has('group')) record.setGroup(false);
    for (const one of this.#steps) {
      if (one.kind === 'group') one.fields.forEach((name) => { knownField(this.table, name); record.groupBy(name); });
      else if (one.kind === 'aggregate') record.addAggregate(...this.#counted(one.type, one.field));
      else if (one.kind === 'having') record.addHaving(...this.#pair(one.type, one.field), one.operator, one.value);
      else if (one.kind === 'sort') record.orderByAggregate(...this.#pair(aggregateType(one.args[0]), one.args[1]));
    }
    return record;
  }

  #pair(type, field) {
    if (field !== undefined && field !== null) knownField(this.table, textOf(field));
    return [type.toUpperCase(), field ?? null];
  }

  #counted(type, field) {
    const [name, path] = this.#pair(type, field);
    return path === null ? [name] : [name, path];
  }

  #single(type, field) {
    const record = this.#aggregate();
    record[STATE].limit = null;
    record[STATE].order = [];
    record.setGroup(false);
    record.addAggregate(...this.#counted(type, field ?? undefined));
    runAggregate(record[STATE]);
    if (!step(record[STATE])) return null;
    const text = aggregateValue(record[STATE], type, field);
    if (text === null || type === 'count') return text;
    return nativeValue(type === 'min' || type === 'max' ? knownField(this.table, field) : { storage: 'decimal' }, text);
  }

  #number(type, field) {
    const path = textOf(field);
    if (!NUMERIC.includes(knownField(this.table, path).storage)) {
      throw new Error(`Cannot compute the ${type} of field '${path}' in table '${this.table}': it is no number`);
    }
    return this.#optional(() => this.#single(type, path));
  }

  // The group of records without a value is an empty text, or null where texts are no values.
  #groupOf(state, name) {
    const field = knownField(this.table, name);
    const value = nativeValue(field, groupValue(state, name));
    return value === null && field.storage === 'text' ? '' : value;
  }

  // Rows of groups: {group: {field: value}, count, sum: {field: number}, ..}.
  #groups() {
    const wanted = this.#steps.filter((one) => one.kind === 'aggregate');
    const fields = this.#steps.filter((one) => one.kind === 'group').flatMap((one) => one.fields);
    return streamOf(() => {
      const record = this.#aggregate();
      runAggregate(record[STATE]);
      return () => {
        if (!step(record[STATE])) return null;
        const row = fields.length === 0 ? {} : { group: {} };
        for (const name of fields) row.group[name] = this.#groupOf(record[STATE], name);
        for (const { type, field } of wanted) {
          const text = aggregateValue(record[STATE], type, field);
          if (field === undefined) {
            row[type] = Number(text);
            continue;
          }
          const kind = type === 'min' || type === 'max' ? knownField(this.table, textOf(field)) : { storage: 'decimal' };
          (row[type] ??= {})[textOf(field)] = nativeValue(kind, text);
        }
        return { value: row };
      };
    });
  }
}

function namesIn(fields) {
  return fields.flat().flatMap((field) => textOf(field).split(',')).map((name) => name.trim());
}

function aggregateType(type) {
  const name = textOf(type).toLowerCase();
  if (!AGGREGATES.includes(name)) throw new Error(`Unknown aggregate '${textOf(type)}'. There are ${AGGREGATES.join(', ')}`);
  return name;
}

return { GlideQuery };
})
