// Transform scripts: what they find besides `source` and `target`, and what they leave in the
// variables by which they steer the run.
const updateStored = updateRow;
const insertStored = insertRow;

// `target` is written once all scripts of its row have run.
function isBeingFilled(state, method) {
  if (state.view !== 'target') return false;
  writeLog('warning', `target.${method}() before the row is written does nothing; what is set is written with it`);
  return true;
}

updateRow = function (state) {
  return isBeingFilled(state, 'update') ? idOf(state) : updateStored(state);
};

insertRow = function (state) {
  return isBeingFilled(state, 'insert') ? idOf(state) : insertStored(state);
};

function beginTransform(map, importSet) {
  const say = (level) => (message) => writeLog(level, logText(message));
  const warn = say('warning');
  setGlobal('map', freeze(map));
  setGlobal('log', freeze({ info: say('info'), warn, warning: warn, error: say('error') }));
  let known;
  defineProperty(globalThis, 'import_set', {
    configurable: true,
    get() { return (known ??= publicRecord('sys_import_set', importSet)); },
    set(value) { setGlobal('import_set', value); },
  });
}

function isOn(value) {
  return value === true || textOf(value).toLowerCase() === 'true';
}

function steering() {
  const state = opened.target?.record[STATE];
  const { ignore, error, error_message: failure, status_message: status, response } = globalThis;
  const plain = typeof response === 'object' && response !== null && !isArray(response);
  const found = {
    ignore: isOn(ignore), error: isOn(error),
    error_message: textOf(failure), status_message: textOf(status), response: plain ? response : {},
  };
  if (state !== undefined && state.view === 'target') {
    found.id = state.newId;
    found.rules = state.rules;
    found.system_fields = state.systemFields;
    Object.assign(state, { newId: '', rules: true, systemFields: true });
  }
  for (const name of ['source', 'target']) { // a script may have used the name for something else
    if (getOwnPropertyDescriptor(globalThis, name).get === undefined) lazily(name, openView);
  }
  return found;
}

defineProperty(globalThis, '__transform', { value: freeze({ begin: beginTransform, steering }) });
