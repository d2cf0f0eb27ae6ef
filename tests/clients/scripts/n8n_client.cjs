// n8n: its ServiceNow node, run by n8n's own core with a credential, as in a workflow.
//
// The node builds `https://SUBDOMAIN.service-now.com`; vendor_host.cjs stands in for that name. The
// store of credentials belongs to n8n's server, so a small one is here.
const { ExecuteContext } = require('n8n-core');
const { Workflow } = require('n8n-workflow');
const packageJson = require('n8n-nodes-base/package.json');
const { ServiceNow } = require('n8n-nodes-base/dist/nodes/ServiceNow/ServiceNow.node.js');
const {
  ServiceNowBasicApi,
} = require('n8n-nodes-base/dist/credentials/ServiceNowBasicApi.credentials.js');
const {
  assert, check, clientId, clientSecret, password, reader, readerPassword, run, url, user, vendorUrl,
} = require('./checks.cjs');

const subdomain = new URL(vendorUrl).hostname.split('.')[0];
// example
const basic = { user, password, subdomain }; // subdomain: 'midspan' for midspan.service-now.com
const opened = {
  resource: 'incident',
  operation: 'create',
  short_description: 'From n8n',
  additionalFields: { impact: '1', urgency: '1' },
};
// end of example
const type = new ServiceNow();
const nodeTypes = { getByName: () => type, getByNameAndVersion: () => type };

// What n8n's server gives a node: decrypted credentials, put where the credential's type says.
const credentialsOf = (data) => ({
  getParentTypes: (name) => (name === 'serviceNowOAuth2Api' ? ['oAuth2Api'] : ['httpBasicAuth']),
  getDecrypted: async () => data,
  preAuthentication: async () => undefined,
  updateOauthTokenData: async (_, __, changed) => Object.assign(data, changed),
  updateCredentialsOauthTokenData: async (_, __, changed) => Object.assign(data, changed),
  updateCredentials: async (_, __, changed) => Object.assign(data, changed),
  authenticate: async (credentials, name, options) => {
    const wanted = new ServiceNowBasicApi().authenticate.properties.auth;
    const filled = (text) => text.replace(/^=\{\{\$credentials\.(\w+)\}\}$/, (__, key) => credentials[key]);
    options.auth = { username: filled(wanted.username), password: filled(wanted.password) };
    return options;
  },
});

// Runs the node once with these parameters and returns its items.
const node = async (parameters, { credentials = basic, items = [{ json: {} }], call } = {}) => {
  const oauth = 'clientId' in credentials;
  const name = oauth ? 'serviceNowOAuth2Api' : 'serviceNowBasicApi';
  const definition = {
    id: '1',
    name: 'ServiceNow',
    type: 'n8n-nodes-base.serviceNow',
    typeVersion: 1,
    position: [0, 0],
    credentials: { [name]: { id: '1', name } },
    parameters: { authentication: oauth ? 'oAuth2' : 'basicAuth', ...parameters },
  };
  const workflow = new Workflow({ id: '1', nodes: [definition], connections: {}, active: false, nodeTypes });
  const additionalData = { credentialsHelper: credentialsOf(credentials), executionId: '1' };
  const data = { resultData: { runData: {} }, executionData: {} };
  const context = new ExecuteContext(
    workflow, workflow.getNode('ServiceNow'), additionalData, 'manual', data, 0, items,
    { main: [items] }, { data: { main: [items] }, node: definition, source: null }, [],
  );
  if (call) return call.call(context);
  return (await type.execute.call(context))[0];
};
const incident = (operation, more) => node({ resource: 'incident', operation, ...more });
const table = (operation, tableName, more) =>
  node({ resource: 'tableRecord', operation, tableName, ...more });
const create = async (shortDescription, additionalFields = {}) =>
  (await incident('create', { short_description: shortDescription, additionalFields }))[0].json;

check('documented example', async () => {
  const [made] = await node(opened);
  assert.deepEqual([made.json.short_description, made.json.priority], ['From n8n', '1']);
});

check('create, get, update, delete an incident', async () => {
  const made = await create('n8n life', { impact: '1', urgency: '1' });
  assert.equal(made.priority, '1');
  const [read] = await incident('get', { id: made.sys_id, options: {} });
  assert.equal(read.json.short_description, 'n8n life');
  const [changed] = await incident('update', { id: made.sys_id, updateFields: { state: '2' } });
  assert.equal(changed.json.incident_state, '2');
  assert.equal((await incident('delete', { id: made.sys_id }))[0].json.success, true);
  await assert.rejects(incident('get', { id: made.sys_id, options: {} }), (error) => {
    assert.equal(error.httpCode, '404');
    return true;
  });
});

check('all of more than one page', async () => {
  for (let place = 0; place < 105; place += 1) {
    await create('n8n page', { description: String(place) });
  }
  const options = {
    sysparm_query: 'short_description=n8n page^ORDERBYnumber',
    sysparm_fields: ['number', 'description'],
  };
  const all = await incident('getAll', { returnAll: true, options });
  assert.deepEqual(
    all.map((item) => item.json.description),
    Array.from({ length: 105 }, (_, place) => String(place)),
  );
  const some = await incident('getAll', { returnAll: false, limit: 3, options });
  assert.equal(some.length, 3);
});

check('any table, with columns of the node and with those of the item', async () => {
  const columns = { field: [{ column: 'name', value: 'n8n server' }] };
  const [made] = await table('create', 'cmdb_ci_server', { dataToSend: 'columns', fieldsToSend: columns });
  const items = [{ json: { name: 'n8n changed', left_out: 'x' } }];
  const [changed] = await node(
    {
      resource: 'tableRecord', operation: 'update', tableName: 'cmdb_ci_server', id: made.json.sys_id,
      dataToSend: 'mapInput', inputsToIgnore: 'left_out',
    },
    { items },
  );
  assert.equal(changed.json.name, 'n8n changed');
  const [shown] = await table('get', 'cmdb_ci_server', {
    id: made.json.sys_id,
    options: { sysparm_fields: 'name,sys_class_name', sysparm_display_value: 'true' },
  });
  assert.deepEqual(shown.json, { name: 'n8n changed', sys_class_name: 'Server' });
  const [gone] = await table('delete', 'cmdb_ci_server', { id: made.json.sys_id });
  assert.equal(gone.json.success, true);
});

check('users, groups, roles, departments, configuration items', async () => {
  const options = { sysparm_fields: 'user_name,sys_id' };
  const [found] = await node({
    resource: 'user', operation: 'get', getOption: 'user_name', user_name: 'admin', options,
  });
  assert.equal(found.json.sys_id, '6816f79cc0a8016401c5a33be04be441');
  for (const resource of [
    'userRole', 'userGroup', 'department', 'configurationItems', 'businessService', 'dictionary',
  ]) {
    const rows = await node({
      resource, operation: 'getAll', returnAll: false, limit: 2, options: { sysparm_fields: 'sys_id' },
    });
    assert.ok(rows.length <= 2);
    if (resource === 'userRole' || resource === 'dictionary') assert.equal(rows.length, 2);
  }
});

check('lists that its form offers', async () => {
  const { loadOptions } = type.methods;
  const parameters = { resource: 'tableRecord', operation: 'getAll', tableName: 'incident' };
  const tables = await node(parameters, { call: loadOptions.getTables });
  assert.ok(tables.some((one) => one.value === 'incident'));
  const columns = await node(parameters, { call: loadOptions.getColumns });
  assert.ok(columns.some((one) => one.value === 'category' && one.name === 'Category'));
  const users = await node(parameters, { call: loadOptions.getUsers });
  assert.ok(users.some((one) => one.value === '6816f79cc0a8016401c5a33be04be441'));
});

check('attachments up, listed, down, deleted', async () => {
  const made = await create('n8n attachment');
  const file = {
    data: Buffer.from('kept as it is').toString('base64'), mimeType: 'text/plain', fileName: 'notes.txt',
  };
  const [uploaded] = await node(
    {
      resource: 'attachment', operation: 'upload', tableName: 'incident', id: made.sys_id,
      inputDataFieldName: 'data', options: {},
    },
    { items: [{ json: {}, binary: { data: file } }] },
  );
  assert.equal(uploaded.json.size_bytes, '13');
  const listed = await node({
    resource: 'attachment', operation: 'getAll', tableName: 'incident', returnAll: true, download: true,
    outputField: 'data', options: { queryFilter: `table_sys_id=${made.sys_id}` },
  });
  assert.deepEqual(
    listed.map((item) => Buffer.from(item.binary.data.data, 'base64').toString()),
    ['kept as it is'],
  );
  const [read] = await node({
    resource: 'attachment', operation: 'get', attachmentId: uploaded.json.sys_id, download: false,
  });
  assert.equal(read.json.file_name, 'notes.txt');
  const [gone] = await node({
    resource: 'attachment', operation: 'delete', attachmentId: uploaded.json.sys_id,
  });
  assert.equal(gone.json.success, true);
});

check('an OAuth token, and a new one when it is no longer good', async () => {
  const form = new URLSearchParams({
    grant_type: 'password', client_id: clientId, client_secret: clientSecret, username: user, password,
  });
  const answer = await fetch(`${url}/oauth_token.do`, { method: 'POST', body: form });
  const token = await answer.json();
  const credentials = {
    subdomain, clientId, clientSecret, scope: 'useraccount', grantType: 'authorizationCode',
    authentication: 'header', accessTokenUrl: `${vendorUrl}/oauth_token.do`, oauthTokenData: token,
  };
  const wanted = {
    resource: 'user', operation: 'get', getOption: 'user_name', user_name: 'admin',
    options: { sysparm_fields: 'user_name' },
  };
  assert.equal((await node(wanted, { credentials }))[0].json.user_name, 'admin');
  const ended = { ...credentials, oauthTokenData: { ...token, access_token: 'no longer good' } };
  assert.equal((await node(wanted, { credentials: ended }))[0].json.user_name, 'admin');
});

check('errors keep status and message', async () => {
  const failing = async (status, description, parameters, options) => {
    await assert.rejects(node(parameters, options), (error) => {
      assert.equal(error.httpCode, status);
      assert.match(JSON.stringify([error.description, error.messages]), description);
      return true;
    });
  };
  const list = { resource: 'incident', operation: 'getAll', returnAll: false, limit: 1, options: {} };
  await failing('401', /User Not Authenticated/, list, { credentials: { ...basic, password: 'wrong' } });
  const fieldsToSend = { field: [{ column: 'name', value: 'n8n' }] };
  await failing(
    '403',
    /Operation Failed/,
    { resource: 'tableRecord', operation: 'create', tableName: 'cmdb_ci_server', dataToSend: 'columns', fieldsToSend },
    { credentials: { ...basic, user: reader, password: readerPassword } },
  );
  await failing('400', /Invalid table incidnet/, {
    ...list, resource: 'tableRecord', tableName: 'incidnet',
  });
});

run(packageJson);
