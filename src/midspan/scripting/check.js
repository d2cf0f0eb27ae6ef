// Reads a script without running it: what does not parse, which calls go to the platform's API.
//
// Evaluated behind acorn, in a worker of the sandbox. A variable is traced through all that is ever
// assigned to it in its function; one that also holds something else is left alone.
const { Parser } = acorn;
const { stringify } = JSON;
const OTHER = '?';
const RULE = new Map([['current', 'GlideRecord'], ['previous', 'GlideRecord']]);
const PARAMETERS = new Map([
  ...RULE, ['source', 'GlideRecord'], ['target', 'GlideRecord'],
  ['request', 'RESTAPIRequest'], ['response', 'RESTAPIResponse'],
]);
// Functions by whose name the platform's templates tell what their parameters are.
const TEMPLATES = new Set(['executeRule', 'process', 'runTransformScript', 'onBefore', 'onAfter']);
const RETURNS = new Map(Object.entries({
  'GlideRecord.addQuery': 'GlideQueryCondition', 'GlideRecord.addNullQuery': 'GlideQueryCondition',
  'GlideRecord.addNotNullQuery': 'GlideQueryCondition', 'GlideRecord.addOrCondition': 'GlideQueryCondition',
  'GlideRecord.getElement': 'GlideElement', 'GlideAggregate.addQuery': 'GlideQueryCondition',
  'GlideQueryCondition.addOrCondition': 'GlideQueryCondition',
  'GlideQueryCondition.addCondition': 'GlideQueryCondition',
  'GlideElement.getRefRecord': 'GlideRecord', 'GlideElement.getED': 'GlideElementDescriptor',
  'GlideSystem.getUser': 'GlideUser', 'GlideSystem.getSession': 'GlideSession',
  'GlideDateTime.getDate': 'GlideDate', 'GlideDateTime.getLocalDate': 'GlideDate',
  'GlideDateTime.getTime': 'GlideTime', 'GlideDateTime.getLocalTime': 'GlideTime',
  'RESTMessageV2.execute': 'RESTResponseV2', 'RESTMessageV2.executeAsync': 'RESTResponseV2',
  'SOAPMessageV2.execute': 'SOAPResponseV2', 'SOAPMessageV2.executeAsync': 'SOAPResponseV2',
  'GlideQuery.where': 'GlideQuery', 'GlideQuery.orWhere': 'GlideQuery', 'GlideQuery.whereNull': 'GlideQuery',
  'GlideQuery.whereNotNull': 'GlideQuery', 'GlideQuery.orderBy': 'GlideQuery',
  'GlideQuery.orderByDesc': 'GlideQuery', 'GlideQuery.limit': 'GlideQuery',
  'GlideQuery.disableWorkflow': 'GlideQuery', 'GlideQuery.withAcls': 'GlideQuery',
  'GlideQuery.select': 'Stream', 'GlideQuery.selectOne': 'Optional', 'GlideQuery.get': 'Optional',
  'GlideQuery.getBy': 'Optional', 'Stream.map': 'Stream', 'Stream.filter': 'Stream', 'Stream.limit': 'Stream',
}));

class Scope {
  constructor(parent) {
    this.parent = parent;
    this.names = new Map();
  }

  find(name) {
    for (let scope = this; scope !== null; scope = scope.parent) {
      const found = scope.names.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  declare(name) {
    let known = this.names.get(name);
    if (known === undefined) this.names.set(name, known = { given: [], types: null, busy: false });
    return known;
  }
}

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);
const LABELLED = new Set(['LabeledStatement', 'BreakStatement', 'ContinueStatement']);

function* childrenOf(node) {
  for (const key of Object.keys(node)) {
    const value = node[key];
    if (value === null || typeof value !== 'object' || key === 'loc') continue;
    if (Array.isArray(value)) {
      for (const item of value) if (item !== null && typeof item?.type === 'string') yield item;
    } else if (typeof value.type === 'string') {
      yield value;
    }
  }
}

// Names that a pattern binds.
function* boundBy(pattern) {
  if (pattern === null) return;
  if (pattern.type === 'Identifier') yield pattern.name;
  else if (pattern.type === 'Property') yield* boundBy(pattern.value);
  else if (pattern.type === 'AssignmentPattern') yield* boundBy(pattern.left);
  else if (pattern.type !== 'MemberExpression') for (const child of childrenOf(pattern)) yield* boundBy(child);
}

const scopes = new Map(); // by function node, for one script

function declareParameters(node, scope) {
  const template = node.id !== null && node.id !== undefined && TEMPLATES.has(node.id.name);
  for (const parameter of node.params) {
    for (const name of boundBy(parameter)) {
      const type = (template ? PARAMETERS : RULE).get(name) ?? OTHER;
      scope.declare(name).given.push(type);
    }
  }
}

// Pass one: what is declared where, and what is assigned to it.
function declareAll(node, scope) {
  let own = scope;
  if (node.type === 'FunctionDeclaration') scope.declare(node.id.name).given.push(OTHER);
  if (node.type === 'ClassDeclaration') scope.declare(node.id.name).given.push(OTHER);
  if (FUNCTIONS.has(node.type)) {
    own = new Scope(scope);
    scopes.set(node, own);
    if (node.type === 'FunctionExpression' && node.id) own.declare(node.id.name).given.push(OTHER);
    declareParameters(node, own);
  } else if (node.type === 'VariableDeclarator') {
    for (const name of boundBy(node.id)) {
      const variable = scope.declare(name);
      if (node.id.type !== 'Identifier') variable.given.push(OTHER);
      else if (node.init !== null) variable.given.push({ node: node.init, scope });
    }
  } else if (node.type === 'CatchClause' && node.param) {
    for (const name of boundBy(node.param)) scope.declare(name).given.push(OTHER);
  } else if (node.type === 'ForInStatement' || node.type === 'ForOfStatement') {
    const target = node.left.type === 'VariableDeclaration' ? node.left.declarations[0].id : node.left;
    for (const name of boundBy(target)) scope.declare(name).given.push(OTHER);
  }
  for (const child of childrenOf(node)) declareAll(child, own);
}

// Assignments, once all declarations are known; one to an undeclared name declares it globally.
function assignAll(node, scope, top) {
  const own = scopes.get(node) ?? scope;
  if (node.type === 'AssignmentExpression') {
    for (const name of boundBy(node.left)) {
      const variable = own.find(name) ?? top.declare(name);
      variable.given.push(node.left.type === 'Identifier' && /^(=|\|\|=|\?\?=|&&=)$/.test(node.operator)
        ? { node: node.right, scope: own } : OTHER);
    }
  }
  for (const child of childrenOf(node)) assignAll(child, own, top);
}

function dotted(node) {
  if (node.type === 'Identifier') return node.name;
  if (node.type !== 'MemberExpression' || node.computed) return null;
  const left = dotted(node.object);
  return left === null ? null : `${left}.${node.property.name}`;
}

function rootOf(node) {
  let at = node;
  while (at.type === 'MemberExpression') at = at.object;
  return at.type === 'Identifier' ? at.name : null;
}

function typesOfVariable(variable) {
  if (variable.busy) return [];
  if (variable.types === null) {
    variable.busy = true;
    const found = new Set();
    for (const given of variable.given) {
      const types = typeof given === 'string' ? [given] : typesOf(given.node, given.scope);
      for (const type of types) found.add(type);
    }
    variable.busy = false;
    variable.types = found.size === 0 ? [OTHER] : [...found];
  }
  return variable.types;
}

const FIELDS = new Set(['GlideRecord', 'GlideRecordSecure', 'GlideElement']);

function typesOf(node, scope) {
  switch (node.type) {
    case 'Identifier': {
      const variable = scope.find(node.name);
      if (variable !== undefined) return typesOfVariable(variable);
      if (node.name === 'gs') return ['GlideSystem'];
      return [RULE.get(node.name) ?? OTHER];
    }
    case 'Literal': return node.value === null ? [] : [OTHER];
    case 'NewExpression': {
      const name = dotted(node.callee);
      return [name === null || scope.find(rootOf(node.callee)) ? OTHER : name.slice(name.lastIndexOf('.') + 1)];
    }
    case 'AssignmentExpression': return typesOf(node.right, scope);
    case 'SequenceExpression': return typesOf(node.expressions.at(-1), scope);
    case 'ConditionalExpression': return [...typesOf(node.consequent, scope), ...typesOf(node.alternate, scope)];
    case 'LogicalExpression': return [...typesOf(node.left, scope), ...typesOf(node.right, scope)];
    case 'MemberExpression': {
      const types = node.computed ? [OTHER] : typesOf(node.object, scope);
      return types.length > 0 && types.every((type) => FIELDS.has(type)) ? ['GlideElement'] : [OTHER];
    }
    case 'CallExpression': {
      if (node.callee.type !== 'MemberExpression' || node.callee.computed) return [OTHER];
      return typesOf(node.callee.object, scope).map(
        (type) => RETURNS.get(`${type === 'GlideRecordSecure' ? 'GlideRecord' : type}.${node.callee.property.name}`)
          ?? OTHER);
    }
    default: return [OTHER];
  }
}

// Pass two: the calls, and the names that nobody declares.
function collect(node, scope, out) {
  const own = scopes.get(node) ?? scope;
  const { type } = node;
  const note = (owners, name, place) => out.calls.push(
    { owners, name, line: place.loc.start.line, column: place.loc.start.column + 1 });
  if (type === 'NewExpression') {
    const name = dotted(node.callee);
    if (name !== null && !own.find(rootOf(node.callee)) && !name.startsWith('this.')) {
      note([name], 'constructor', node.callee);
    }
  } else if (type === 'CallExpression' && node.callee.type === 'Identifier') {
    if (!own.find(node.callee.name)) note([''], node.callee.name, node.callee);
  } else if (type === 'CallExpression' && node.callee.type === 'MemberExpression' && !node.callee.computed
      && node.callee.property.type === 'Identifier') {
    const { object, property } = node.callee;
    const types = typesOf(object, own);
    const name = dotted(object);
    if (types.length > 0 && !types.includes(OTHER)) note([...new Set(types)], property.name, property);
    else if (name !== null && !own.find(rootOf(object))) note([name], property.name, property);
  }
  if (type === 'Identifier' && !own.find(node.name)) out.free.add(node.name);
  for (const child of childrenOf(node)) {
    const isName = (type === 'MemberExpression' && child === node.property && !node.computed)
      || ((type === 'Property' || type === 'MethodDefinition' || type === 'PropertyDefinition')
        && child === node.key && !node.computed && !node.shorthand)
      || (LABELLED.has(type) && child === node.label);
    if (!isName) collect(child, own, out);
  }
}

function check(text) {
  scopes.clear();
  let tree;
  try {
    tree = Parser.parse(text, { ecmaVersion: 'latest', allowReturnOutsideFunction: true, locations: true });
  } catch (error) {
    if (error === null) throw error; // no memory left
    if (error.loc === undefined) {
      if (!/\bstack\b/.test(error.message)) throw error;
      return { error: { line: 1, column: 1, message: 'the script is nested too deeply' } };
    }
    const message = error.message.replace(/ \(\d+:\d+\)$/, '');
    return { error: { line: error.loc.line, column: error.loc.column + 1, message } };
  }
  const top = new Scope(null);
  declareAll(tree, top);
  assignAll(tree, top, top);
  const out = { calls: [], free: new Set() };
  collect(tree, top, out);
  return { defined: [...top.names.keys()], calls: out.calls, free: [...out.free] };
}

globalThis.__check = (text) => stringify(check(text));
