// What the families of js/classes get: everything they use, captured before any script ran.
function forgetSession() { session = undefined; }

// A record as scripts have it, on the row of an id; not on any row when there is none.
function publicRecord(table, id) {
  const record = new GlideRecord(table);
  if (textOf(id) !== '') record.get('sys_id', id);
  return record;
}

function isRecord(value) { return value instanceof GlideRecord; }
function isFieldObject(value) { return value instanceof GlideElement; }

// Runs the text of a script as the engine runs every script.
const evaluateScript = __engine.evaluate;

Object.assign(shared, {
  host: __host, textOf, firstOf, isArray, isJavaList, describe, javaList, publish, escapeHtml, part, gs,
  sessionInfo, forgetSession, publicRecord, isRecord, isFieldObject, bytesOf, base64, bytesOfBase64, textOfBytes,
  GlideRecord, evaluateScript, parseJson, toJsonText, HTML, notAvailable, streamSource, STATE,
});

// What reads and writes records behind the classes.
shared.records = freeze({
  GlideAggregate, NUMERIC, aggregateValue, assign, changeOf, completeRow, displayIn, elementAt, elementField,
  elementText, encoded, getRecord, groupValue, idOf, insertRow, newState, queryOf, runAggregate, runQuery, step,
  updateRow, valueIn, wrapState, write,
});
