// Business rules: one script over a page of records; what it changed is handed back at the end.
//
// In a page of several records nothing may look at other records: the first call that could ends
// the page, and the instance runs the rule again record by record.
const ALONE = [
  'table.describe', 'gs.session', 'gs.property', 'gs.now', 'gs.guid', 'gs.message', 'rule.rows',
  'dates.now', 'dates.zone',
  'include.find', 'include.has', 'include.load',
];
const askInstance = __host;
const writeUpdate = updateRow;
const writeInsert = insertRow;
let rulePage = null;
let ruleEntry = null;

// eslint-disable-next-line no-func-assign -- every file of this scope calls the host by this name
__host = function (name, args) {
  if (rulePage === null || !rulePage.together) return askInstance(name, args);
  if (name === 'log') {
    ruleEntry.log.push(args);
    return null;
  }
  if (name === 'event.queue') {
    ruleEntry.events.push(args);
    return null;
  }
  if (!ALONE.includes(name)) {
    rulePage.cut = true;
    throw new Error('This rule looks at other records; it runs again record by record');
  }
  return askInstance(name, args);
};

// Saving `current` from a before rule would save it twice; what was set is saved anyway.
function isBeingSaved(state, method) {
  if (ruleEntry === null || ruleEntry.state !== state || rulePage.phase !== 'before') return false;
  __host('log', ['warning', `current.${method}() in a before rule does nothing; what the rule sets is saved with the record`]);
  return true;
}

updateRow = function (state) {
  return isBeingSaved(state, 'update') ? idOf(state) : writeUpdate(state);
};

insertRow = function (state) {
  return isBeingSaved(state, 'insert') ? idOf(state) : writeInsert(state);
};

function ruleState(page, before, changed) {
  const state = newState(page.table, false);
  state.row = before;
  state.operation = page.operation;
  if (changed !== null) state.pending = Object.setPrototypeOf(changed, null);
  return state;
}

function setGlobal(name, value) {
  defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

// Gives the script the next record: `current` and `previous`, as far as its time knows them.
function openRule(page, at) {
  const [before, changed, refused, first] = page.rows[at];
  const state = ruleState(page, before, changed);
  const entry = {
    i: at, state, given: { ...changed }, refused, log: [], events: [],
    errors: messages.error.length, infos: messages.info.length,
  };
  state.aborted = refused;
  let previous = null;
  if (page.phase === 'before' || page.phase === 'after') {
    const then = first ?? before;
    previous = wrapState(ruleState(page, then === null ? null : then.slice(), null));
  }
  if (page.operation === 'insert' && before === null) {
    state.fresh = page.phase === 'before';
    if (page.phase === 'after') {
      state.row = page.blank.slice();
      state.row[state.meta.index.sys_id] = changed.sys_id;
    }
  }
  if (page.query) state.conditions.push({ text: page.query, terms: [] });
  entry.row = state.row;
  setGlobal('current', wrapState(state));
  setGlobal('previous', previous);
  return entry;
}

// What an after rule changed by saving `current`: the rules after it find the record as it is stored.
function storedBy(entry) {
  const { state, given, row } = entry;
  const stored = {};
  for (const name of Object.keys(state.meta.index)) {
    const at = state.meta.index[name];
    const text = storedIn(state, name);
    if (text !== (given[name] ?? row[at] ?? '')) stored[name] = text;
  }
  return stored;
}

function closeRule(page, entry) {
  const { state, given } = entry;
  const done = { i: entry.i };
  if (page.phase === 'before' || page.phase === 'display') {
    const set = {};
    let some = false;
    for (const name of Object.keys(state.pending)) {
      if (state.pending[name] === given[name]) continue;
      set[name] = state.pending[name];
      some = true;
    }
    if (some) done.set = set;
  }
  if (page.phase === 'after' && page.operation !== 'delete' && state.row !== entry.row && state.row !== null) {
    done.stored = storedBy(entry);
  }
  if (page.phase === 'query') done.query = queryOf(state);
  if (state.aborted !== entry.refused) done.refused = state.aborted;
  if (entry.log.length > 0) done.log = entry.log;
  if (entry.events.length > 0) done.events = entry.events;
  const said = [...messages.error.splice(entry.errors), ...messages.info.splice(entry.infos)];
  if (said.length > 0) done.messages = said;
  if (entry.value) done.value = true;
  if (page.phase === 'display') done.scratchpad = globalThis.g_scratchpad;
  return done;
}

// Truth as scripts mean it: an empty field is false, and so is a field that says false.
function ruleHolds(value) {
  if (typeof value !== 'object' || value === null || !(value instanceof GlideElement)) return Boolean(value);
  return !['', 'false', '0'].includes(value.toString());
}

// Forgets what a script of an access rule left in variables it never declared: what it found out
// about one record must not decide about the next.
function forgetPlainGlobals(known) {
  for (const name of Object.keys(globalThis)) {
    const value = globalThis[name];
    const plain = value === null || (typeof value !== 'function' && typeof value !== 'object');
    if (plain && !known.includes(name)) delete globalThis[name];
  }
}

// Runs `body` for the records of the page from `start` on. An error of the script ends the run; what
// was done so far is handed over first.
function runRule(body) {
  const page = globalThis.__page;
  delete globalThis.__page;
  const outer = [rulePage, ruleEntry];
  rulePage = page;
  page.blank = (describe(page.table)?.columns ?? []).map(() => '');
  setGlobal('g_scratchpad', page.scratchpad ?? {});
  const done = [];
  const known = page.phase === 'access' ? Object.keys(globalThis) : null;
  try {
    for (let at = page.start; at < page.rows.length && !page.cut; at++) {
      ruleEntry = openRule(page, at);
      let failed = true;
      try {
        ruleEntry.value = ruleHolds(body());
        failed = false;
      } finally {
        done.push(closeRule(page, ruleEntry));
        if (known !== null) forgetPlainGlobals(known);
        if (failed && !page.cut) askInstance('rule.rows', [done, at]);
      }
    }
    return page.cut ? { cut: true } : { done };
  } catch (error) {
    if (page.cut) return { cut: true };
    throw error;
  } finally {
    [rulePage, ruleEntry] = outer;
  }
}

defineProperty(globalThis, '__rule', { value: runRule });
