// Writes of a GlideRecord's state; what came of one is a row, or the reason why it was refused.
function changeOf(state) {
  return {
    table: state.table, secure: state.secure, values: state.pending, rules: state.rules,
    system_fields: state.systemFields, force: state.force, authors: state.authors ?? {},
  };
}

// Sends a write; its outcome is {row}, {changed}, or {error}.
function write(state, call, change) {
  state.error = null;
  writes++;
  const outcome = __host(call, [change]);
  forgetTables(state.table);
  if (outcome.error !== undefined) {
    state.error = outcome.error;
    return null;
  }
  state.displays = create(null);
  return outcome;
}

// Whether setAbortAction(true) was called for the row; in rules it is about what they run for.
function isAborted(state) {
  if (!state.aborted || isOfRule(state)) return false;
  state.error = 'The write was aborted by setAbortAction(true)';
  return true;
}

function insertRow(state) {
  if (state.meta === null || isAborted(state)) return null;
  const change = changeOf(state);
  const values = create(null);
  completeRow(state);
  for (const name of state.meta.columns) {
    const text = storedIn(state, name);
    if (text !== '') values[name] = text;
  }
  if (!state.fresh) delete values.sys_id; // a copy of the row it is on
  for (const name of Object.keys(state.pending)) values[name] = state.pending[name];
  const outcome = write(state, 'record.insert', { ...change, values, sys_id: state.newId });
  if (outcome === null) return null;
  settleOn(state, outcome.row);
  return idOf(state);
}

function updateRow(state) {
  if (state.meta === null) return null;
  if (state.row === null || state.fresh) return insertRow(state);
  if (isAborted(state)) return null;
  const id = storedIn(state, 'sys_id');
  // What nobody fetched yet comes with the outcome then.
  const whole = isAlone(state) && state.index !== state.meta.index;
  if (whole) state.narrow = false;
  const outcome = write(state, 'record.update', { ...changeOf(state), sys_id: id, whole });
  if (outcome === null) return null;
  if (outcome.missing) {
    delete state.pending.sys_id;
    state.newId = id;
    return insertRow(state);
  }
  if (outcome.row === undefined) settleChanged(state, outcome.changed);
  else {
    settleOn(state, outcome.row);
    showStored(state, outcome.row);
  }
  return id;
}

// Writes the records behind references first: those that there are, and new ones for empty fields.
function writeBehind(state) {
  const behind = state.behind ?? {};
  for (const name of Object.keys(behind)) {
    const target = newState(state.meta.fields[name].reference, state.secure);
    const id = valueIn(state, name);
    if (id === '' || !findBy(target, 'sys_id', id)) target.fresh = true;
    for (const field of Object.keys(behind[name])) assign(target, field, behind[name][field]);
    const written = updateRow(target);
    if (written !== null) assign(state, name, written);
  }
  state.behind = null;
}

// Goes on with the row as it was written; what nobody fetched yet is not in it.
function settleChanged(state, changed) {
  const { index } = state;
  const row = state.row.slice();
  const complete = index === state.meta.index;
  for (const name of Object.keys(changed)) {
    const place = index[name];
    if (place !== undefined && (complete || row[place] !== undefined)) row[place] = changed[name];
  }
  settleOn(state, row);
  state.index = index;
  const at = state.position - state.pageStart;
  if (state.page[at]) state.page[at] = row;
}

// Whether the present row is the only one of its page.
function isAlone(state) {
  return state.page.length === 1 && state.position === state.pageStart;
}

// Puts a stored row into the page, for a cursor that comes back to it.
function showStored(state, row) {
  const at = state.position - state.pageStart;
  if (!state.page[at]) return;
  if (isAlone(state)) state.pageIndex = state.meta.index;
  if (state.pageIndex === state.meta.index) {
    state.page[at] = row;
    return;
  }
  const partial = [];
  for (const name in state.pageIndex) partial[state.pageIndex[name]] = row[state.meta.index[name]]; // eslint-disable-line guard-for-in
  state.page[at] = partial;
}
