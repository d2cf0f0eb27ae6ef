// The way classes are made on the platform, and the class behind client-callable script includes.
publish('Class', {
  create() {
    return function () {
      if (this === undefined) throw new TypeError('a class has to be called with "new"');
      if (typeof this.initialize === 'function') applyTo(this.initialize, this, arguments);
    };
  },
});

addMethod(Object, 'extendsObject', (base, members) => {
  if (base === null || base === undefined) {
    throw new TypeError('Object.extendsObject needs a class or an object to extend; its first '
      + `argument is ${base}`);
  }
  return Object.extend(create(typeof base === 'function' ? base.prototype : base), members);
});

// An element of an answer, and the document around it: attributes, children, and its text as XML.
// Attributes come in the order of their names, as the platform writes them.
class AnswerItem {
  constructor(name) {
    defineProperty(this, STATE, { value: { name, attributes: new Map(), children: [], text: '' } });
  }
  getDocumentElement() { return this; }
  createElement(name) { return new AnswerItem(textOf(name)); }
  getName() { return this[STATE].name; }
  getNodeName() { return this[STATE].name; }
  setAttribute(name, value) { this[STATE].attributes.set(textOf(name), textOf(value)); }
  getAttribute(name) { return this[STATE].attributes.get(textOf(name)) ?? null; }
  hasAttribute(name) { return this[STATE].attributes.has(textOf(name)); }
  removeAttribute(name) { this[STATE].attributes.delete(textOf(name)); }
  setTextContent(text) { this[STATE].text = textOf(text); }
  getTextContent() { return this[STATE].text; }
  appendChild(child) {
    this[STATE].children.push(child);
    return child;
  }
  toString() {
    const { name, children, text } = this[STATE];
    const shown = sortedAttributes(this).map(([key, value]) => ` ${key}="${escapeHtml(value)}"`).join('');
    const inside = escapeHtml(text) + children.join('');
    return inside === '' ? `<${name}${shown}/>` : `<${name}${shown}>${inside}</${name}>`;
  }
  // What the host makes XML of.
  toJSON() {
    const { name, children, text } = this[STATE];
    return { name, attributes: sortedAttributes(this), text, children: Array.from(children) };
  }
}

function sortedAttributes(item) {
  return Array.from(item[STATE].attributes).sort(([one], [other]) => (one < other ? -1 : 1));
}

// `request` is an object of parameters, or has getParameter(name); see how it is called in docs.
class AbstractAjaxProcessor {
  constructor(...args) { applyTo(this.initialize, this, args); }

  initialize(request, responseXML, gc) {
    this.request = request;
    this.responseXML = responseXML ?? new AnswerItem('xml');
    this.gc = gc;
  }
  getParameter(name) {
    const { request } = this;
    if (request === null || request === undefined) return null;
    const key = textOf(name);
    const value = typeof request.getParameter === 'function' ? request.getParameter(key) : request[key];
    return value === null || value === undefined ? null : textOf(firstOf(value));
  }
  getName() { return this.getParameter('sysparm_name'); }
  getValue() { return this.getParameter('sysparm_value'); }
  getType() { return this.getParameter('sysparm_type'); }
  getChars() { return this.getParameter('sysparm_chars'); }
  getDocument() { return this.responseXML; }
  getRootElement() { return this.responseXML.getDocumentElement(); }
  newItem(tag) {
    return this.getRootElement().appendChild(new AnswerItem(tag === undefined ? 'item' : textOf(tag)));
  }
  setAnswer(value) { this.getRootElement().setAttribute('answer', textOf(value)); }
  setError(value) { this.getRootElement().setAttribute('error', textOf(value)); }
  // Runs the method that the caller names, if it is one of the class's own; those whose names begin
  // with an underscore are not for clients.
  process() {
    const name = this.getName();
    const method = name === null || name.startsWith('_') ? undefined : this[name];
    if (typeof method !== 'function' || name in AbstractAjaxProcessor.prototype) return undefined;
    const answer = applyTo(method, this, []);
    if (answer !== undefined) this.setAnswer(answer);
    return answer;
  }
}
// Old classes call it without `new`, as `AbstractAjaxProcessor.call(this)`.
publish('AbstractAjaxProcessor', new Proxy(AbstractAjaxProcessor, { apply: () => undefined }));
