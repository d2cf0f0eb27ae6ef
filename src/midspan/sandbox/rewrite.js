// Rewrites a script so that field objects count as the text they hold: in every boolean position,
// in `||`, `&&`, `||=`, `&&=`, and in `==` and `!=`.
//
// It is evaluated in a context of its own, which no script can reach, behind acorn. The tree is not
// walked: the parser hands over the few nodes that matter as it finishes them, and what is changed
// is inserted into the script's own text, so that lines keep their numbers. The functions that are
// called instead of the operators are js/05_operators.js.
(function () {
  'use strict';
  const { Parser, keywordTypes, tokTypes } = acorn;
  const KEYWORDS = new Map(Object.entries(keywordTypes));
  const WORD = /[\w$]+/y;
  const TRUE = '__ms_true(';
  const TEST = '__ms_test(';
  const KEPT = '__ms_kept()';
  const NOTED = new Set([
    'LogicalExpression', 'BinaryExpression', 'UnaryExpression', 'ConditionalExpression',
    'IfStatement', 'WhileStatement', 'DoWhileStatement', 'ForStatement', 'AssignmentExpression',
    'ExpressionStatement', 'CallExpression',
  ]);
  const ARITHMETIC = new Set(['+', '-', '*', '/', '%', '**', '|', '&', '^', '<<', '>>', '>>>']);
  const TEXT_OR_NUMBER = new Set(['typeof', '-', '+', '~']);
  const PLAIN = new Set([
    'Literal', 'TemplateLiteral', 'UnaryExpression', 'UpdateExpression', 'BinaryExpression',
    'FunctionExpression', 'ArrowFunctionExpression', 'ClassExpression', 'ObjectExpression',
    'ArrayExpression',
  ]);

  class Refused extends Error {
    constructor(position, message) {
      super(message);
      this.position = position;
    }
  }

  // acorn with a faster tokenizer for what nearly all text is made of, and with our errors.
  class Reader extends Parser {
    constructor(options, input) {
      super(options, input);
      this.noted = [];
      this.evals = [];
      this.returns = false;
      this.loose = [new Set()]; // names used in each open scope and not declared so far
    }

    next(ignoresEscapes) {
      if (this.containsEsc) return super.next(ignoresEscapes);
      this.lastTokEnd = this.end;
      this.lastTokStart = this.start;
      return this.nextToken();
    }

    nextToken() {
      const context = this.context[this.context.length - 1];
      if (context.override) return super.nextToken();
      this.skipSpace();
      const at = this.start = this.pos;
      const code = this.input.charCodeAt(at);
      if ((code >= 97 && code <= 122) || (code >= 65 && code <= 90)) return this.readWord();
      return super.nextToken();
    }

    startNode() { return new acorn.Node(this, this.start); }

    readWord1() {
      WORD.lastIndex = this.pos;
      const word = WORD.test(this.input) ? this.input.slice(this.pos, WORD.lastIndex) : '';
      const next = this.input.charCodeAt(this.pos + word.length);
      if (next === 92 || next > 127) return super.readWord1();
      this.containsEsc = false;
      this.pos += word.length;
      return word;
    }

    readWord() {
      const word = this.readWord1();
      const type = KEYWORDS.get(word);
      const isKeyword = type !== undefined && this.keywords.test(word);
      return this.finishToken(isKeyword ? type : tokTypes.name, word);
    }

    skipSpace() {
      const input = this.input;
      let at = this.pos;
      let code = input.charCodeAt(at);
      while (code === 32 || code === 10 || code === 9) code = input.charCodeAt(++at);
      this.pos = at;
      if (code === 47 || code > 127 || code < 33) super.skipSpace();
    }

    finishNode(node, type) {
      node.type = type;
      node.end = this.lastTokEnd;
      if (NOTED.has(type)) this.noted.push(node);
      return node;
    }

    parseExprAtom(errors, forInit, forNew) {
      const node = super.parseExprAtom(errors, forInit, forNew);
      if (node.type === 'Identifier') {
        this.loose[this.loose.length - 1].add(node.name);
        if (node.name === 'eval') this.evals.push(node);
      }
      return node;
    }

    copyNode(node) { // the value of a shorthand property
      if (node.type === 'Identifier') this.loose[this.loose.length - 1].add(node.name);
      return super.copyNode(node);
    }

    enterScope(flags) {
      super.enterScope(flags);
      if (this.loose) this.loose.push(new Set());
    }

    exitScope() {
      const scope = this.scopeStack[this.scopeStack.length - 1];
      const outer = this.loose[this.loose.length - 2];
      for (const name of this.loose.pop()) {
        if (!declares(scope, name)) outer.add(name);
      }
      super.exitScope();
    }

    parseReturnStatement(node) {
      if (!this.inFunction) this.returns = true;
      return super.parseReturnStatement(node);
    }

    catchStackOverflow(parse) { return parse(); }
    raise(position, message) { throw new Refused(position, message); }
    raiseRecoverable(position, message) { throw new Refused(position, message); }

    unexpected(position) {
      const at = position ?? this.start;
      const before = this.input.slice(0, at);
      if (/\bfor\s+$/.test(before.slice(-40)) && /^each\b/.test(this.input.slice(at, at + 5))) {
        this.raise(at, '"for each" is not part of the language; use for (var name in object)');
      }
      if (at >= this.input.length) this.raise(at, 'unexpected end of the script');
      const token = at === this.start ? this.input.slice(at, Math.max(this.end, at + 1)) : this.input[at];
      this.raise(at, `unexpected '${token.length > 40 ? `${token.slice(0, 40)}…` : token}'`);
    }
  }

  function declares(scope, name) {
    return scope.var.includes(name) || scope.lexical.includes(name)
      || scope.functions.includes(name);
  }

  // Whether a value can be no field object at all.
  function isPlain(node) {
    if (PLAIN.has(node.type)) return true;
    if (node.type === 'LogicalExpression') return isPlain(node.left) && isPlain(node.right);
    if (node.type === 'ConditionalExpression') {
      return isPlain(node.consequent) && isPlain(node.alternate);
    }
    if (node.type === 'AssignmentExpression') {
      return node.operator === '=' ? isPlain(node.right) : !/^(\|\||&&|\?\?)/.test(node.operator);
    }
    return false;
  }

  // Whether a value is text or a number: then the language itself takes a field object's text.
  function isPrimitive(node) {
    switch (node.type) {
      case 'Literal': return typeof node.value === 'string' || typeof node.value === 'number';
      case 'TemplateLiteral': case 'UpdateExpression': return true;
      case 'UnaryExpression': return TEXT_OR_NUMBER.has(node.operator);
      case 'BinaryExpression': return ARITHMETIC.has(node.operator);
      default: return false;
    }
  }

  // Whether reading it twice is the same as reading it once.
  function isSimpleTarget(node) {
    if (node.type === 'Identifier') return true;
    if (node.type !== 'MemberExpression' || node.optional) return false;
    const { object, property } = node;
    if (!['Identifier', 'ThisExpression', 'Super'].includes(object.type)) return false;
    return !node.computed || property.type === 'Literal' || property.type === 'Identifier';
  }

  class Edits {
    constructor(text) {
      this.text = text;
      this.list = [];
      this.starts = new Set(); // of expression statements
    }

    insert(at, added) { this.list.push({ at, removed: 0, added }); }
    wrap(node, before, after) {
      this.list.push({ at: node.start, removed: 0, added: before, node, after });
    }

    // Puts `added` in the place of the operator between two operands.
    replace(left, right, operator, added) {
      const at = findOperator(this.text, left.end, right.start);
      this.list.push({ at, removed: operator.length, added });
    }

    apply() {
      const { text, starts } = this;
      const closing = [];
      const all = [];
      for (const edit of this.list) {
        all.push(edit);
        if (edit.after) closing.push({ at: edit.node.end, removed: 0, added: edit.after, closes: true });
      }
      // At one place, what closes comes in the reverse order of what opens.
      for (let at = closing.length - 1; at >= 0; at--) all.push(closing[at]);
      all.sort((a, b) => a.at - b.at || Number(b.closes === true) - Number(a.closes === true));
      const out = [];
      let done = 0;
      let last = -1;
      for (const edit of all) {
        out.push(text.slice(done, edit.at));
        if (edit.at !== last) edit.added = this.separated(edit, starts);
        last = edit.at;
        out.push(edit.added);
        done = edit.at + edit.removed;
      }
      out.push(text.slice(done));
      return [out.join(''), all];
    }

    // A statement that began with a word must not begin with a parenthesis: the line before it might
    // have no semicolon. And words must not grow together.
    separated({ at, added }, starts) {
      if (starts.has(at) && added.startsWith('(')) return ` void 0,${added}`;
      return at > 0 && /[\w$]/.test(this.text[at - 1]) && /^[\w$]/.test(added) ? ` ${added}` : added;
    }
  }

  // Between the operands are only parentheses, space and comments besides the operator.
  function findOperator(text, from, to) {
    let at = from;
    while (at < to) {
      const two = text.slice(at, at + 2);
      if (two === '//' || two === '<!' || (two === '--' && text[at + 2] === '>')) {
        while (at < to && !/[\n\r\u2028\u2029]/.test(text[at])) at++;
      } else if (two === '/*') {
        at = text.indexOf('*/', at + 2) + 2;
      } else if (/[|&=!]/.test(text[at])) {
        return at;
      } else {
        at++;
      }
    }
    throw new Error(`no operator at ${from}`);
  }

  // Makes a node's value true or false. What is inside it and needs the same gets a mark instead:
  // nodes are looked at from the outside in.
  function asBoolean(edits, node) {
    if (node.type === 'LogicalExpression' && node.operator !== '??') {
      node.asBoolean = true;
    } else if (node.type === 'SequenceExpression') {
      asBoolean(edits, node.expressions[node.expressions.length - 1]);
    } else if (!isPlain(node)) {
      edits.wrap(node, TRUE, ')');
    }
  }

  function logical(edits, node) {
    const { left, right, operator } = node;
    if (operator === '??') return;
    if (node.asBoolean) {
      asBoolean(edits, left);
      asBoolean(edits, right);
      return;
    }
    if (isPlain(left)) return;
    const twice = left.type === 'Identifier';
    const kept = twice ? edits.text.slice(left.start, left.end) : KEPT;
    edits.wrap(node, twice ? `(${TRUE}` : `(${TEST}`, operator === '||' ? ')' : `:${kept})`);
    edits.replace(left, right, operator, operator === '||' ? `)?${kept}:` : ')?');
  }

  function assignment(edits, node) {
    const { left, right, operator } = node;
    if ((operator !== '||=' && operator !== '&&=') || !isSimpleTarget(left)) return;
    const target = edits.text.slice(left.start, left.end);
    const isOr = operator === '||=';
    edits.wrap(node, `(${TEST}`, isOr ? '))' : `):${KEPT})`);
    edits.replace(left, right, operator, isOr ? `)?${KEPT}:(${target}=` : `)?(${target}=`);
  }

  function equality(edits, { start, end, left, right, operator }) {
    if (operator !== '==' && operator !== '!=') return;
    if (isPrimitive(left) || isPrimitive(right)) return;
    edits.wrap({ start, end }, operator === '==' ? '__ms_eq(' : '!__ms_eq(', ')');
    edits.replace(left, right, operator, ',');
  }

  function call(edits, { callee, arguments: [first], optional }) {
    if (callee.type !== 'Identifier' || callee.name !== 'eval' || optional) return;
    callee.direct = true;
    if (first && first.type !== 'SpreadElement') edits.wrap(first, '__ms_code(', ')');
  }

  function change(edits, node) {
    switch (node.type) {
      case 'LogicalExpression': logical(edits, node); break;
      case 'BinaryExpression': equality(edits, node); break;
      case 'UnaryExpression': if (node.operator === '!') asBoolean(edits, node.argument); break;
      case 'AssignmentExpression': assignment(edits, node); break;
      case 'ExpressionStatement': edits.starts.add(node.start); break;
      case 'CallExpression': call(edits, node); break;
      default: if (node.test) asBoolean(edits, node.test);
    }
  }

  function parse(text, kind, version) {
    const reader = new Reader({
      ecmaVersion: version,
      sourceType: 'script',
      allowReturnOutsideFunction: kind === 'script',
      allowSuperOutsideMethod: kind === 'eval',
      checkPrivateFields: kind !== 'eval',
    }, text);
    const tree = reader.parse();
    if (kind === 'function') {
      const { expression } = tree.body[0];
      if (tree.body.length > 1 || expression.end !== text.length - 1) {
        throw new Refused(text.length, 'the text of a function ends too early');
      }
    }
    return reader;
  }

  // In the older mode, tells "newer syntax" from "no syntax at all".
  function read(text, kind, isOld) {
    if (!isOld) return parse(text, kind, 'latest');
    try {
      return parse(text, kind, 5);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      parse(text, kind, 'latest');
      throw new Refused(error.position, `${error.message}: this needs ECMAScript 2021, and the script `
        + 'is set to ES5; turn on "use_es_latest" in its record of sys_es_latest_script');
    }
  }

  // A long text made with `+` is a tree inside, which cannot leave the engine.
  function flat(lines) { return lines.join('\n'); }

  // What bootstrap.js says of an error, without its stack, after the line and column of the mistake.
  function refusal(text, { position, message }) {
    const lines = text.slice(0, position).split('\n');
    const thrown = JSON.stringify({ name: 'SyntaxError', message });
    const described = {
      text: `SyntaxError: ${message}`, name: 'SyntaxError', message, thrown, host: null,
    };
    const column = lines[lines.length - 1].length + 1;
    return flat([`!${lines.length}`, column, JSON.stringify(described)]);
  }

  // Three parts, a line each: names that are used and not declared, as JSON; the edits as numbers, line,
  // column, removed, added; the new text. For what is no script, the refusal.
  function rewrite(text, kind, isOld) {
    let reader;
    try {
      reader = read(text, kind, isOld);
    } catch (error) {
      if (error instanceof Refused) return refusal(text, error);
      if (error === null || !/\bstack\b/.test(error.message)) throw error; // null: no memory left
      return refusal(text, new Refused(0, 'the script is nested too deeply'));
    }
    const edits = new Edits(text);
    for (let at = reader.noted.length - 1; at >= 0; at--) change(edits, reader.noted[at]);
    for (const node of reader.evals) {
      if (!node.direct) edits.list.push({ at: node.start, removed: 4, added: '__ms_eval' });
    }
    if (reader.returns) {
      edits.list.unshift({ at: 0, removed: 0, added: '(function(){' });
    }
    const [changed, all] = edits.apply();
    const scope = reader.scopeStack[0];
    const names = Array.from(reader.loose[0]).filter((name) => !declares(scope, name));
    const ended = reader.returns ? `${changed}\n}).call(this)` : changed;
    return flat([JSON.stringify(names), positions(text, all).join(), ended]);
  }

  function positions(text, edits) {
    const out = [];
    let line = 1;
    let start = 0;
    for (const { at, removed, added } of edits) {
      for (let end; (end = text.indexOf('\n', start)) >= 0 && end < at;) {
        line++;
        start = end + 1;
      }
      out.push(line, at - start, removed, added.length);
    }
    return out;
  }

  return rewrite;
})()
