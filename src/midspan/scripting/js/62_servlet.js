// What scripts behind an address of the old style see of a call: g_request, g_response, g_processor,
// g_target; and the way in for script includes that clients call.
const servlet = create(null);
const ECHOED = ['sysparm_max', 'sysparm_name', 'sysparm_processor', 'sysparm_type'];
const MOST_ITEMS = '15';

function servletRequest(sent) {
  const headers = headerObject(sent.headers);
  const values = (name) => sent.query_params[textOf(name)];
  const given = (name) => (hasOwn(sent.query_params, textOf(name)) ? values(name) : null);
  const body = makeStream({ kind: 'request' }, () => sent.body.text);
  return {
    getParameter: (name) => given(name)?.[0] ?? null,
    getParameterValues: (name) => given(name),
    getParameterNames: () => javaList(Object.keys(sent.query_params)),
    getParameterMap: () => Object.assign({}, sent.query_params),
    getHeader: (name) => headers[textOf(name)] ?? null,
    getHeaders: (name) => javaList(headers[textOf(name)] === undefined ? [] : [headers[textOf(name)]]),
    getHeaderNames: () => javaList(Object.keys(sent.headers)),
    getContentType: () => headers['content-type'] ?? null,
    getContentLength: () => Number(headers['content-length'] ?? 0),
    getMethod: () => sent.method,
    getQueryString: () => (sent.query_string === '' ? null : sent.query_string),
    getRequestURI: () => sent.uri,
    getRequestURL: () => sent.url.split('?')[0],
    getInputStream: () => body,
    getReader: () => new (globalThis.GlideTextReader)(body),
  };
}

function writeAnswer(text) {
  tell('write', textOf(text));
}

function servletResponse() {
  const header = (name, value) => tell('header', textOf(name), textOf(value));
  return {
    setStatus: (status) => tell('status', Math.trunc(Number(firstOf(status))) || 0),
    setHeader: header,
    addHeader: header,
    setContentType: (type) => tell('type', textOf(type)),
    setCharacterEncoding() {}, // answers are UTF-8
    sendRedirect,
    getWriter: () => ({
      write: writeAnswer,
      print: writeAnswer,
      println: (text) => writeAnswer(`${textOf(text)}\n`),
      flush() {},
      close() {},
    }),
    getOutputStream: () => ({
      write: (value) => (typeof value === 'string' ? writeAnswer(value) : tell('copy', streamSource(value))),
      print: writeAnswer,
      flush() {},
      close() {},
    }),
    flushBuffer() {},
  };
}

function sendRedirect(place) {
  tell('status', 302);
  tell('header', 'Location', textOf(place));
}

const scriptedProcessor = {
  writeOutput(...args) {
    if (args.length > 1) tell('type', textOf(args[0]));
    writeAnswer(args[args.length - 1]);
  },
  writeJSON(value) {
    tell('type', 'application/json');
    writeAnswer(toJsonText(value) ?? 'null');
  },
  redirect: sendRedirect,
};

function servletObject(name) {
  if (servlet.g_request === undefined) {
    const sent = __host('rest.open', []);
    if (sent === null || sent.target === undefined) return undefined;
    servlet.g_request = servletRequest(sent);
    servlet.g_response = servletResponse();
    servlet.g_processor = { ...scriptedProcessor };
    servlet.g_target = sent.target;
  }
  return servlet[name];
}

for (const name of ['g_request', 'g_response', 'g_processor', 'g_target']) lazily(name, servletObject);

// Answers a client for a class: the document that it filled, or false where a guest may not ask.
hidden(AbstractAjaxProcessor, '__answer', (Called, guest) => {
  const request = servletObject('g_request');
  const root = new AnswerItem('xml');
  root.setAttribute('sysparm_max', MOST_ITEMS);
  for (const name of ECHOED) {
    const value = request.getParameter(name);
    if (value !== null) root.setAttribute(name, value);
  }
  const ajax = typeof Called === 'function' ? new Called(request, root, null) : null;
  if (guest && ajax?.isPublic?.() !== true) return false;
  if (typeof ajax?.process !== 'function') {
    throw new TypeError('it has no method process(): extend AbstractAjaxProcessor');
  }
  const answer = ajax.process();
  if (answer !== undefined && !root.hasAttribute('answer')) root.setAttribute('answer', textOf(answer));
  return root;
});
