// RESTMessageV2 and SOAPMessageV2: what a script says of a call is kept here; the host sends it.
(function (shared) {
'use strict';
const { Array, Error, Number, Object, encodeURIComponent } = shared.intrinsics;
const { STATE, host, javaList, notAvailable, publicClass, streamSource, textOf } = shared;
const { create, defineProperty } = Object;

const XML_TEXT = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };
const escapeXml = (text) => text.replace(/[&<>"']/g, (character) => XML_TEXT[character]);
const isNamed = (name) => (pair) => pair[0].toLowerCase() === name.toLowerCase();

function openMessage(kind, name, method) {
  const known = name === undefined ? {} : host('message.open', [kind, textOf(name), textOf(method)]);
  return {
    kind,
    known,
    endpoint: known.endpoint ?? '',
    method: known.method ?? '',
    headers: known.headers ?? [],
    query: [],
    values: create(null),
    body: null,
    stream: null,
    basic: null,
    profile: null,
    mid: known.mid_server ?? '',
    mutual: known.mutual ?? '',
    action: known.soap_action ?? '',
    redirects: kind === 'soap' ? [] : null,
    leaves: false,
  };
}

// Variables that nobody set become empty, unless the script asked for them to stay.
function filledIn(state, text, escape) {
  return text.replace(/\$\{([^}]*)\}/g, (mark, name) => {
    const value = state.values[name.trim()];
    if (value === undefined) return state.leaves ? mark : '';
    return escape === undefined ? value : escape(value);
  });
}

function messageUrl(state) {
  const defined = (state.known.parameters ?? []).map(([name, value]) => [name, filledIn(state, value)]);
  const pairs = [...defined, ...state.query];
  const url = filledIn(state, state.endpoint);
  if (pairs.length === 0) return url;
  const query = pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&');
  const [base, hash] = url.split('#');
  const joint = base.includes('?') ? (/[?&]$/.test(base) ? '' : '&') : '?';
  return `${base}${joint}${query}${hash === undefined ? '' : `#${hash}`}`;
}

function messageBody(state) {
  if (state.body !== null) return state.body;
  return filledIn(state, state.known.content ?? '');
}

function messageHeaders(state) {
  const headers = state.headers.map(([name, value]) => [name, filledIn(state, value)]);
  if (state.kind !== 'soap') return headers;
  if (!headers.some(isNamed('Content-Type'))) headers.push(['Content-Type', 'text/xml; charset=utf-8']);
  if (!headers.some(isNamed('SOAPAction'))) headers.push(['SOAPAction', `"${filledIn(state, state.action)}"`]);
  return headers;
}

function saidOf(state) {
  const { known } = state;
  const { basic, profile, save, timeout, level, redirects, stream, mutual, mid, kind, correlator } = state;
  return {
    kind, basic, profile, save, timeout, level, redirects, stream, mutual, mid, correlator,
    method: state.kind === 'soap' ? 'POST' : state.method,
    url: state.source ?? messageUrl(state),
    headers: messageHeaders(state),
    body: messageBody(state),
    token: state.token ?? null,
    message: known.record === undefined ? null : [known.table, known.record],
    authority: known.authority ?? null,
  };
}

class HttpHeader {
  constructor(name, value) {
    this.name = name;
    this.value = value;
  }
  getName() { return this.name; }
  getValue() { return this.value; }
  toString() { return `${this.name}: ${this.value}`; }
}

class RESTResponseV2 {
  constructor(state) { defineProperty(this, STATE, { value: state }); }
  getBody() {
    const { body } = replyOf(this);
    if (body === null) throw new Error('The body was saved as an attachment: getResponseAttachmentSysid()');
    return body;
  }
  getStatusCode() { return replyOf(this).status; }
  getHeader(name) {
    const found = replyOf(this).headers.filter(isNamed(textOf(name)));
    return found.length === 0 ? null : found[found.length - 1][1];
  }
  getHeaders() { return Object.fromEntries(replyOf(this).headers); }
  getAllHeaders() { return javaList(replyOf(this).headers.map((pair) => new HttpHeader(...pair))); }
  getCookies() { return javaList(replyOf(this).headers.filter(isNamed('Set-Cookie')).map((pair) => pair[1])); }
  haveError() { return replyOf(this).failed; }
  getErrorCode() { return replyOf(this).code; }
  getErrorMessage() { return replyOf(this).error || null; }
  getQueryString() { return replyOf(this).url; }
  getRequestBody() { return this[STATE].sent.body; }
  getResponseAttachmentSysid() { return replyOf(this).attachment || null; }
  waitForResponse(seconds) {
    const state = this[STATE];
    state.patience = Number(textOf(seconds)) || state.patience;
    replyOf(this);
  }
}

function replyOf(response) {
  const state = response[STATE];
  if (state.reply === undefined) {
    if (state.number === null) {
      throw new Error('The MID server gets the message when the transaction is committed: there is no response yet');
    }
    state.reply = host('message.wait', [state.number, state.patience]);
  }
  return state.reply;
}

class SOAPResponseV2 extends RESTResponseV2 {}

function responseOf(state) {
  return state.sent.kind === 'soap' ? new SOAPResponseV2(state) : new RESTResponseV2(state);
}

class Message {
  setEndpoint(endpoint) { this[STATE].endpoint = textOf(endpoint); }
  getEndpoint() { return this[STATE].source ?? filledIn(this[STATE], this[STATE].endpoint); }
  setRequestHeader(name, value) {
    const state = this[STATE];
    const others = state.headers.filter((pair) => !isNamed(textOf(name))(pair));
    state.headers = [...others, [textOf(name), textOf(value)]];
  }
  getRequestHeader(name) { return messageHeaders(this[STATE]).find(isNamed(textOf(name)))?.[1] ?? null; }
  getRequestHeaders() { return Object.fromEntries(messageHeaders(this[STATE])); }
  setRequestBody(text) {
    this[STATE].body = textOf(text);
    this[STATE].stream = null;
  }
  getRequestBody() { return messageBody(this[STATE]); }
  setStringParameter(name, value) { this[STATE].values[textOf(name)] = escapeXml(textOf(value)); }
  setStringParameterNoEscape(name, value) {
    const state = this[STATE];
    const text = textOf(value);
    const escaped = (state.known.escaped ?? []).includes(textOf(name));
    state.values[textOf(name)] = escaped ? escapeXml(text) : text;
  }
  setBasicAuth(user, password) {
    this[STATE].basic = [textOf(user), textOf(password)];
    this[STATE].profile = null;
  }
  setAuthenticationProfile(type, id) {
    this[STATE].profile = [textOf(type).toLowerCase(), textOf(id)];
    this[STATE].basic = null;
  }
  setMutualAuth(name) { this[STATE].mutual = textOf(name); }
  setMIDServer(name) { this[STATE].mid = textOf(name); }
  setEccParameter(name, value) { if (textOf(name) === 'source') this[STATE].source = textOf(value); }
  setEccCorrelator(text) { this[STATE].correlator = textOf(text); }
  setHttpTimeout(milliseconds) { this[STATE].timeout = Number(textOf(milliseconds)) || null; }
  setLogLevel(level) { this[STATE].level = textOf(level); }
  setAllowedRedirectURIs(uris) { this[STATE].redirects = Array.from(uris, textOf); }
  setRequestorProfile() {}
  execute() {
    const sent = saidOf(this[STATE]);
    return responseOf({ sent, reply: host('message.send', [sent]) });
  }
  executeAsync() {
    const sent = saidOf(this[STATE]);
    const number = host('message.start', [sent]);
    return responseOf({ sent, number, patience: 60 });
  }
}

class RESTMessageV2 extends Message {
  constructor(name, method) {
    super();
    defineProperty(this, STATE, { value: openMessage('rest', name, method) });
  }
  setHttpMethod(method) { this[STATE].method = textOf(method); }
  setQueryParameter(name, value) { this[STATE].query.push([textOf(name), textOf(value)]); }
  setRequestBodyFromAttachment(id) { this[STATE].stream = { kind: 'attachment', id: textOf(id) }; }
  setRequestBodyFromStream(stream) { this[STATE].stream = streamSource(stream); }
  saveResponseBodyAsAttachment(table, record, name) { this[STATE].save = [table, record, name].map(textOf); }
  disableForcedVariableSubstitution() { this[STATE].leaves = true; }
}

class SOAPMessageV2 extends Message {
  constructor(name, operation) {
    super();
    defineProperty(this, STATE, { value: openMessage('soap', name, operation) });
  }
  setSOAPAction(action) { this[STATE].action = textOf(action); }
  setFollowRedirect(follows) { this[STATE].redirects = follows ? null : []; }
  setWSSecurityUsernameToken(user, password) { this[STATE].token = [textOf(user), textOf(password)]; }
  setWSSecurity() { throw notAvailable('SOAPMessageV2.setWSSecurity'); }
  setWSSecurityX509Token() { throw notAvailable('SOAPMessageV2.setWSSecurityX509Token'); }
}

const messages = {};
for (const made of [RESTMessageV2, RESTResponseV2, SOAPMessageV2, SOAPResponseV2]) {
  messages[made.name] = publicClass(made);
}
return { ...messages, sn_ws: messages };
})
