// Events of scripts: rows of sysevent, which the instance works off after the commit.
function queueEvent(name, record, parm1, parm2, queue, when) {
  const state = record !== null && typeof record === 'object' ? record[STATE] : undefined;
  const about = state === undefined || state.table === undefined
    ? ['', ''] : [valueIn(state, 'sys_class_name') || state.table, idOf(state)];
  const parms = [parm1, parm2].map(textOf);
  __host('event.queue', [textOf(name), ...about, ...parms, textOf(queue), textOf(when)]);
}

gs.eventQueue = (name, record, parm1, parm2, queue) => {
  queueEvent(name, record, parm1, parm2, queue, '');
};
gs.eventQueueScheduled = (name, record, parm1, parm2, when) => {
  queueEvent(name, record, parm1, parm2, '', when);
};

// The event that a script action runs for.
lazily('event', openView);

// Lets a scheduled script run once, after the commit.
gs.executeNow = (record) => {
  __host('schedule.now', [textOf(record.getTableName()), textOf(record.getUniqueValue())]);
};
