// node-soap: reads the WSDL, sends credentials with every request.
const soap = require('soap');

const { CLIENT_URL, CLIENT_USER, CLIENT_PASSWORD, SOAP_CASES } = process.env;
const warnings = [];
process.on('warning', (warning) => warnings.push(String(warning)));

async function service(table, words = '') {
  const header = `Basic ${Buffer.from(`${CLIENT_USER}:${CLIENT_PASSWORD}`).toString('base64')}`;
  const options = { wsdl_headers: { Authorization: header } };
  const client = await soap.createClientAsync(`${CLIENT_URL}/${table}.do?${words}WSDL`, options);
  client.setSecurity(new soap.BasicAuthSecurity(CLIENT_USER, CLIENT_PASSWORD));
  return client;
}

// The library makes null of an empty element, and null or nothing of an empty answer.
const text = (value) => (typeof value === 'string' ? value : '');

async function run(one) {
  const { table, field, reference, empty } = one;
  const client = await service(table);
  const call = async (name, given, by = client) => (await by[`${name}Async`](given))[0] ?? {};
  const made = (await call('insert', { [field]: one.value, [reference]: one.shown })).sys_id;
  const got = await call('get', { sys_id: made });
  const page = await call('getRecords', { __encoded_query: `sys_id=${made}`, __limit: '5' });
  const keys = await call('getKeys', { sys_id: made });
  await call('update', { sys_id: made, [field]: one.second });
  const updated = await call('get', { sys_id: made });
  const groups = await call('aggregate', { COUNT: 'sys_id', sys_id: made });
  let fault = null;
  try {
    await call('update', { sys_id: '0'.repeat(32), [field]: 'x' });
  } catch (error) {
    const told = error.root.Envelope.Body.Fault;
    fault = { code: told.faultcode, text: told.faultstring };
  }
  const shown = await call('get', { sys_id: made }, await service(table, 'displayvalue=true&'));
  const both = await call('get', { sys_id: made }, await service(table, 'displayvalue=all&'));
  const deleted = await call('deleteRecord', { sys_id: made });
  const gone = await call('get', { sys_id: made });
  return {
    got: [text(got[field]), text(got[reference]), text(got[empty])],
    shown: shown[reference],
    both: both[`dv_${reference}`],
    records: page.getRecordsResult.map((row) => row.sys_id === made),
    keys: [keys.sys_id === made, Number(keys.count)],
    updated: updated[field],
    counted: Number(groups.aggregateResult[0].COUNT),
    fault,
    deleted: Number(deleted.count),
    gone: !gone.sys_id,
  };
}

(async () => {
  const found = {};
  for (const one of JSON.parse(SOAP_CASES)) found[one.table] = await run(one);
  const { version } = require('soap/package.json');
  process.stdout.write(JSON.stringify({ version, warnings, found }));
})();
