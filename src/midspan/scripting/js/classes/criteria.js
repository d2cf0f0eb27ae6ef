// sn_uc: whom user criteria fit. GlideCacheManager: what scripts of one session keep for each other.
(function (shared) {
'use strict';
const { Array, Map, Object } = shared.intrinsics;
const { host, textOf, isArray, publicRecord, part, GlideRecord, STATE } = shared;
const PLACES = ['company', 'location', 'department'];

function idsOf(value) {
  if (isArray(value)) return Array.from(value, textOf);
  return textOf(value).split(',').map((one) => one.trim()).filter((one) => one !== '');
}

// Everything that is asked about a user, read once.
function personOf(id) {
  const user = publicRecord('sys_user', id);
  const rights = host('user.rights', [textOf(id)]);
  return { id: textOf(id), user, rights, isThere: user.isValidRecord() };
}

// The host knows what is committed, with all that is inherited; a row may be newer.
function hasRow(table, column, person, ids) {
  const row = new GlideRecord(table);
  row.addQuery('user', person.id);
  row.addQuery(column, 'IN', ids.join(','));
  row.setLimit(1);
  row.query();
  return row.hasNext();
}

function hasOneOf(ids, person) {
  const wanted = ids.map((id) => publicRecord('sys_user_role', id).getValue('name'));
  return wanted.some((name) => person.rights.roles.includes(name))
    || hasRow('sys_user_has_role', 'role', person, ids);
}

function isInOneOf(ids, person) {
  return ids.some((id) => person.rights.groups.includes(id))
    || hasRow('sys_user_grmember', 'group', person, ids);
}

// What each filled column says; a criteria with nothing in it fits nobody.
function verdicts(criteria, person) {
  const said = [];
  const listed = (column) => idsOf(criteria.getValue(column) ?? '');
  const ask = (column, test) => { if (listed(column).length > 0) said.push(test(listed(column))); };
  ask('user', (ids) => ids.includes(person.id));
  ask('group', (ids) => isInOneOf(ids, person));
  ask('role', (ids) => hasOneOf(ids, person));
  for (const column of PLACES) ask(column, (ids) => ids.includes(person.user.getValue(column)));
  if (textOf(criteria.getValue('advanced')) === '1') said.push(scriptSays(criteria, person));
  return said;
}

// The script says it in `answer`, or by its value; a script that fails says no.
function scriptSays(criteria, person) {
  const Evaluator = part('evaluator').GlideScopedEvaluator;
  const evaluator = new Evaluator();
  try {
    const value = evaluator.evaluateScript(criteria, 'script', { user_id: person.id, answer: null });
    const answer = evaluator.getVariable('answer');
    return (answer ?? value) === true || textOf(answer ?? value) === 'true';
  } catch (error) {
    shared.gs.warn(`User criteria ${criteria.getValue('name')}: ${error.message}`);
    return false;
  }
}

function fits(criteria, person) {
  const said = verdicts(criteria, person);
  if (said.length === 0) return false;
  return textOf(criteria.getValue('match_all')) === '1' ? said.every((one) => one) : said.some((one) => one);
}

// The ids of the active criteria among `ids` (null: of all) that fit a user.
function matching(userId, ids) {
  const person = personOf(userId);
  const found = [];
  if (!person.isThere) return found;
  const criteria = new GlideRecord('user_criteria');
  criteria.addQuery('active', true);
  criteria[STATE].whole = true;
  if (ids !== null) criteria.addQuery('sys_id', 'IN', ids.join(','));
  criteria.query();
  while (criteria.next()) if (fits(criteria, person)) found.push(criteria.getUniqueValue());
  return found;
}

class UserCriteriaLoader {
  static userMatches(userId, ids) { return matching(userId, idsOf(ids)).length > 0; }
  static getMatchingCriteria(userId, ids) { return matching(userId, idsOf(ids)); }
  static getAllUserCriteria(userId) { return matching(userId, null); }
}

const caches = new Map();

function cacheOf(name) {
  const key = textOf(name);
  if (!caches.has(key)) caches.set(key, new Map());
  return caches.get(key);
}

// A cache may lose what it holds at any time; this one does at the end of the session.
class GlideCacheManager {
  static put(name, key, value) { cacheOf(name).set(textOf(key), value); }
  static get(name, key) { return cacheOf(name).get(textOf(key)) ?? null; }
  static flush(name) { caches.delete(textOf(name)); }
}

return { sn_uc: Object.freeze({ UserCriteriaLoader }), GlideCacheManager };
})
