// Conditions of a query as they are sent: {text, terms}, {terms} or {join}.
//
// A condition's terms are read from left to right: [joint, field, operator, value], or
// [joint, terms] for those of another condition.
class GlideQueryCondition {
  constructor(terms, join) { defineProperty(this, STATE, { value: { terms, join: join ?? null } }); }
  addOrCondition(...args) { return this[STATE].terms.push(termOf('or', args)), this; }
  addCondition(...args) { return this[STATE].terms.push(termOf('and', args)), this; }
  addUserOrCondition(...args) { return this.addOrCondition(...args); }
  addUserCondition(...args) { return this.addCondition(...args); }
  addSystemOrCondition(...args) { return this.addOrCondition(...args); }
  addSystemCondition(...args) { return this.addCondition(...args); }
  addQueryHint() {} // how a database reads is its own business
}

function termOf(joint, args) {
  const [field, second, third] = args;
  if (args.length === 1 && field instanceof GlideQueryCondition) return [joint, field[STATE].terms];
  const operator = args.length > 2 ? textOf(second).trim() : '=';
  const value = args.length > 2 ? third : second;
  return [joint, textOf(field), operator, textOf(value)];
}

function addTerms(state, args) {
  const terms = [termOf('', args)];
  state.conditions.push({ terms });
  return new GlideQueryCondition(terms);
}

function addText(state, text) {
  const terms = [];
  if (text !== '') state.conditions.push({ text, terms });
  return new GlideQueryCondition(terms);
}

// Keeps rows to which a row of another table belongs; the returned condition is about that one.
function addJoin(state, table, own, other) {
  const terms = [];
  const join = { table: textOf(table), own: textOf(own) || 'sys_id', other: textOf(other) || referenceTo(state, textOf(table)) };
  state.conditions.push({ join: { ...join, conditions: [{ terms }] } });
  return new GlideQueryCondition(terms);
}

// The first field of a table that refers to the record's own; its id when there is none.
function referenceTo(state, table) {
  const meta = describe(table);
  if (meta === null || state.meta === null) return 'sys_id';
  const refers = (name) => state.meta.ancestors.includes(meta.fields[name].reference);
  return meta.columns.find(refers) ?? 'sys_id';
}

const EMPTY_OF = { '=': 'ISEMPTY', '!=': 'ISNOTEMPTY' };

function termText(term, position) {
  const [joint, field, operator, value] = term;
  const before = position === 0 ? '' : joint === 'or' ? '^OR' : '^';
  if (isArray(field)) {
    const [first, ...rest] = field;
    return before + termText(first, 0) + rest.map((one) => termText(one, 1)).join('');
  }
  if (value === '' && EMPTY_OF[operator]) return `${before}${field}${EMPTY_OF[operator]}`;
  return `${before}${field}${operator}${value.replaceAll('^', '^^')}`;
}

function joinText({ own, other, table, conditions }) {
  const inner = conditions[0].terms.map(termText).join('');
  return `SUBQUERY${own},${other},${table}${inner === '' ? '' : `^${inner}`}^ENDSUBQUERY`;
}

function encoded(state) {
  const parts = state.conditions.map((item) => {
    if (item.join !== undefined) return joinText(item.join);
    return item.text === undefined
      ? item.terms.map(termText).join('')
      : item.text + item.terms.map((term) => termText(term, 1)).join('');
  });
  for (const [field, descending] of state.order) {
    parts.push(`${descending ? 'ORDERBYDESC' : 'ORDERBY'}${field}`);
  }
  return parts.join('^');
}
