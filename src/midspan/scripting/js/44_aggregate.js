// GlideAggregate: groups of records with counts, sums and the like.
function aggregateName(name) {
  return textOf(name).trim().toUpperCase().replace(/\s/g, '').replace(/^COUNTDISTINCT$|^COUNT_DISTINCT$/, 'COUNT(DISTINCT');
}

function aggregateOf(name, field) {
  const path = field === undefined || field === null || textOf(field) === '' ? null : textOf(field);
  return { function: aggregateName(name), field: path };
}

// Without other groups the field of a COUNT is one; a field that is a group is counted by rows.
function countedBy(state, wanted) {
  const grouped = groupsOf(state).includes(wanted.field);
  return wanted.function === 'COUNT' && grouped ? { function: 'COUNT', field: null } : wanted;
}

function groupsOf(state) {
  const { groups, aggregates, trend } = state.grouping;
  const sorted = state.order.map(([field]) => field);
  const named = [...new Set([...groups, ...sorted])];
  if (named.length > 0 || trend !== null || state.grouping.single) return named;
  const counted = aggregates.filter((one) => one.function === 'COUNT' && one.field !== null);
  return [...new Set(counted.map((one) => one.field))];
}

function runAggregate(state) {
  const { aggregates, having, sort } = state.grouping;
  const trend = state.grouping.trend && { ...state.grouping.trend, year: state.grouping.byYear };
  const groups = groupsOf(state);
  const order = state.order.map(([field, descending]) => ({ function: '', field, descending }));
  const criteria = { ...queryOf(state), order: [] };
  const found = state.meta === null ? { groups: [], rows: [] } : __host('record.aggregate', [{
    criteria, groups, trend, window: state.grouping.window,
    aggregates: aggregates.map((one) => countedBy(state, one)),
    having: having.map((one) => ({ ...one, ...countedBy(state, one) })),
    sort: [...sort.map((one) => ({ ...one, ...countedBy(state, one) })), ...order],
  }]);
  state.queried = true;
  state.position = -1;
  settleOn(state, null);
  state.page = found.rows;
  state.pageStart = 0;
  state.pageIndex = create(null);
  found.groups.forEach((name, position) => { state.pageIndex[name] = position; });
  if (trend !== null) state.pageIndex.timeref = found.groups.length;
  state.grouping.offset = found.groups.length + (trend === null ? 0 : 1);
  state.count = found.rows.length;
  state.total = state.count;
  state.cursor = null;
}

function groupValue(state, name) {
  const position = state.row === null ? undefined : state.index[name];
  return position === undefined ? null : state.row[position] || null;
}

function aggregateValue(state, name, field) {
  const wanted = aggregateOf(name, field);
  const is = (one) => one.function === wanted.function && one.field === wanted.field;
  const { aggregates, offset } = state.grouping;
  let position = aggregates.findIndex(is);
  if (position < 0 && wanted.field === null) {
    position = aggregates.findIndex((one) => one.function === wanted.function);
  }
  return position < 0 || state.row === null ? null : state.row[offset + position];
}

function aggregateWith(state, args) {
  if (args.length >= 2) addTerms(state, args);
  runAggregate(state);
}

class GlideAggregate extends GlideRecord {
  constructor(table) {
    super(table);
    const state = this[STATE];
    state.grouping = {
      groups: [], aggregates: [], having: [], sort: [], trend: null, offset: 0, single: false,
      window: null, byYear: true,
    };
    // Rows hold groups; what is no group of them is empty.
    state.meta = state.meta === null ? null : { ...state.meta, index: create(null) };
    state.index = state.meta && state.meta.index;
  }

  addAggregate(name, field) { this[STATE].grouping.aggregates.push(aggregateOf(name, field)); }
  groupBy(field) { this[STATE].grouping.groups.push(textOf(field)); }
  orderByAggregate(name, field) {
    const wanted = aggregateOf(name, field);
    const { aggregates, sort } = this[STATE].grouping;
    if (!aggregates.some((one) => one.function === wanted.function && one.field === wanted.field)) {
      aggregates.push(wanted);
    }
    sort.push({ ...wanted, descending: true });
  }
  addHaving(name, ...args) {
    const [field, operator, value] = args.length > 2 ? args : [null, ...args];
    const test = { operator: textOf(operator).trim(), value: textOf(value) };
    this[STATE].grouping.having.push({ ...aggregateOf(name, field), ...test });
  }
  addTrend(field, unit, minutes) {
    this[STATE].grouping.trend = {
      field: textOf(field), unit: textOf(unit).toLowerCase(), minutes: Math.trunc(Number(minutes)) || 1,
    };
  }
  get [TAG]() { return 'GlideAggregate'; }
  setAggregateWorkflow(on) { this[STATE].rules = textOf(on) !== 'false'; }
  setGroup(on) { this[STATE].grouping.single = textOf(on) === 'false'; }
  setOrder() {}
  setGroupByFollowRef() {}
  setOrderByFollowRef() {}
  setIntervalYearIncluded(on) { this[STATE].grouping.byYear = textOf(on) !== 'false'; }
  // Which records are counted at all; chooseWindow() and setLimit() choose among the groups.
  setAggregateWindow(first, last) {
    this[STATE].grouping.window = [Math.max(0, Math.trunc(Number(first)) || 0), Math.trunc(Number(last)) || 0];
  }

  query(...args) { aggregateWith(this[STATE], args); }
  _query(...args) { aggregateWith(this[STATE], args); }
  getAggregate(name, field) { return aggregateValue(this[STATE], name, field); }
  getTotal(name, field) {
    const state = this[STATE];
    const { row } = state;
    let total = 0;
    for (const one of state.page) {
      state.row = one;
      total += Number(aggregateValue(state, name, field)) || 0;
    }
    state.row = row;
    return total;
  }
  getCount() { return Number(aggregateValue(this[STATE], 'COUNT')) || 0; }
  getRowCount() { return this[STATE].count; }
  getValue(field) {
    const state = this[STATE];
    const text = groupValue(state, textOf(field));
    const known = fieldOf(state, textOf(field));
    if (text === null || known === undefined || known.storage !== 'boolean') return text;
    return text === 'true' ? '1' : '0';
  }
  getDisplayValue(field) {
    const name = textOf(field);
    const text = groupValue(this[STATE], name);
    if (text === null || name === 'timeref') return text ?? '';
    if (isFunction(name)) return __host('field.display', [this[STATE].table, name, [text], this[STATE].secure])[0];
    const [first, ...rest] = name.split('.');
    let table = this[STATE].table;
    let last = first;
    for (const next of rest) {
      table = describe(table)?.fields[last]?.reference ?? '';
      last = next;
    }
    if (describe(table)?.fields[last] === undefined) return text;
    return __host('field.display', [table, last, [text], this[STATE].secure])[0];
  }
  // The query of the records in the present group.
  getAggregateEncodedQuery() {
    const state = this[STATE];
    const parts = encoded({ ...state, order: [] });
    const group = groupsOf(state).map((name, position) => (
      termText(['', name, '=', groupValue(state, name) ?? ''], position)
    ));
    return [parts, ...group].filter((part) => part !== '').join('^');
  }
  getQuery() { return encoded(this[STATE]); }
}

publish('GlideAggregate', callable(GlideAggregate));
