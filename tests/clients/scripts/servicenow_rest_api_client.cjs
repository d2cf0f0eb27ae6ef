// servicenow-rest-api: the JavaScript wrapper of the Table and Attachment APIs, with callbacks.
const ServiceNow = require('servicenow-rest-api');
const { assert, check, host, password, reader, readerPassword, run, url, user } = require('./checks.cjs');

const admin = new ServiceNow(host, user, password);
// The client knows callbacks only and hands errors to them, too.
const ask = (method, ...words) => new Promise((resolve) => admin[method](...words, resolve));
const asked = (client, method, ...words) =>
  new Promise((resolve) => client[method](...words, resolve));

check('documented example', async () => {
  const callback = await new Promise((done) => {
    // example
    const client = new ServiceNow(host, user, password); // host: '127.0.0.1:8443'
    const incident = { short_description: 'From JavaScript', urgency: '1 - High', impact: '1 - High' };
    client.createNewTask(incident, 'incident', (created) => done(created));
    // end of example
  });
  assert.equal(callback.priority, '1 - Critical');
  assert.match(callback.number, /^INC/);
});

check('signs in and gets a sample', async () => {
  const [sample] = await ask('getSampleData', 'sys_user');
  assert.equal(typeof sample.user_name, 'string');
});

check('table data with fields, filters and display values', async () => {
  const made = await ask('createNewTask', { short_description: 'js table' }, 'incident');
  const rows = await ask(
    'getTableData',
    ['number', 'state', 'opened_by'],
    ['short_description=js table', 'active=true'],
    'incident',
  );
  const link = `${url}/api/now/v2/table/sys_user/6816f79cc0a8016401c5a33be04be441`;
  assert.deepEqual(rows, [
    {
      number: made.number,
      state: 'New',
      opened_by: { display_value: 'System Administrator', link },
    },
  ]);
});

check('labels are taken for values', async () => {
  const made = await ask('createNewTask', { short_description: 'js labels' }, 'incident');
  const id = await ask('getSysId', 'incident', made.number);
  assert.match(id, /^[0-9a-f]{32}$/);
  const changed = await ask('UpdateTask', 'incident', made.number, {
    state: 'In Progress',
    assigned_to: 'System Administrator',
  });
  assert.equal(changed.state, 'In Progress');
  assert.equal(changed.assigned_to.display_value, 'System Administrator');
});

check('deletes', async () => {
  const made = await ask('createNewTask', { short_description: 'js delete' }, 'incident');
  assert.equal((await ask('DeleteTask', 'incident', made.number)).status, 204);
  const left = await ask('getTableData', ['number'], [`number=${made.number}`], 'incident');
  assert.deepEqual(left, []);
});

check('attachments: what is known of them, and the bytes', async () => {
  const made = await ask('createNewTask', { short_description: 'js attachment' }, 'incident');
  const record = await ask('getSysId', 'incident', made.number);
  const query = new URLSearchParams({
    table_name: 'incident',
    table_sys_id: record,
    file_name: 'notes.txt',
  });
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  const uploaded = await fetch(`${url}/api/now/attachment/file?${query}`, {
    method: 'POST', // the client can only read attachments
    headers: { authorization, 'content-type': 'text/plain' },
    body: 'kept as it is',
  });
  assert.equal(uploaded.status, 201);
  const [listed] = await ask('getAllAttachmentsMetaData', record);
  const known = await ask('getAttachmentMetaData', listed.sys_id);
  assert.deepEqual([known.file_name, known.size_bytes], ['notes.txt', '13']);
  const file = await ask('getAttachment', listed.sys_id);
  assert.equal(file.data, 'kept as it is');
  assert.match(file.headers['content-type'], /^text\/plain/);
  assert.ok(file.headers['x-attachment-metadata']);
});

check('change tasks of a change', async () => {
  const change = await ask('createNewTask', { short_description: 'js change' }, 'change_request');
  const task = { short_description: 'js task', change_request: change.number };
  const made = await ask('createNewTask', task, 'change_task');
  const found = await ask('getChangeTasks', 'change_task', change.number);
  assert.deepEqual(
    found.map((row) => row.number),
    [made.number],
  );
});

check('errors keep their status and body', async () => {
  const wrong = new ServiceNow(host, user, 'wrong');
  const unauthenticated = await asked(wrong, 'getSampleData', 'incident');
  assert.equal(unauthenticated.response.status, 401);
  assert.equal(unauthenticated.response.data.error.message, 'User Not Authenticated');
  const stranger = new ServiceNow(host, reader, readerPassword);
  const refused = await asked(stranger, 'createNewTask', { name: 'js' }, 'cmdb_ci_server');
  assert.equal(refused.response.status, 403);
  const unknown = await ask('getAttachmentMetaData', '0'.repeat(32));
  assert.equal(unknown.response.status, 404);
  const table = await ask('getSampleData', 'incidnet');
  assert.equal(table.response.status, 400);
  assert.equal(table.response.data.error.message, 'Invalid table incidnet');
});

run(require('servicenow-rest-api/package.json'));
