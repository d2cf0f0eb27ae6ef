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

// A flat element of an answer: attributes, children, and its text as XML.
class AnswerItem {
  constructor(name) { defineProperty(this, STATE, { value: { name, attributes: new Map(), children: [] } }); }
  getName() { return this[STATE].name; }
  getNodeName() { return this[STATE].name; }
  setAttribute(name, value) { this[STATE].attributes.set(textOf(name), textOf(value)); }
  getAttribute(name) { return this[STATE].attributes.get(textOf(name)) ?? null; }
  appendChild(child) {
    this[STATE].children.push(child);
    return child;
  }
  toString() {
    const { name, attributes, children } = this[STATE];
    const shown = Array.from(attributes, ([key, value]) => ` ${key}="${escapeHtml(value)}"`).join('');
    return children.length === 0 ? `<${name}${shown}/>` : `<${name}${shown}>${children.join('')}</${name}>`;
  }
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
  getRootElement() { return this.responseXML; }
  newItem(tag) { return this.responseXML.appendChild(new AnswerItem(tag === undefined ? 'item' : textOf(tag))); }
  setAnswer(value) { this.responseXML.setAttribute('answer', textOf(value)); }
  setError(value) { this.responseXML.setAttribute('error', textOf(value)); }
  // Runs the method that the caller names, if it is one of the class's own.
  process() {
    const name = this.getName();
    const method = name === null ? undefined : this[name];
    if (typeof method !== 'function' || name in AbstractAjaxProcessor.prototype) return undefined;
    const answer = applyTo(method, this, []);
    if (answer !== undefined) this.setAnswer(answer);
    return answer;
  }
}
// Old classes call it without `new`, as `AbstractAjaxProcessor.call(this)`.
publish('AbstractAjaxProcessor', new Proxy(AbstractAjaxProcessor, { apply: () => undefined }));
