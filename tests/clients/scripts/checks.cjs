// What every script of a JavaScript client shares: where the instance is, and checks that are counted.
const assert = require('node:assert/strict');

const checks = [];
const env = process.env;

exports.host = env.CLIENT_URL.replace('https://', '');
exports.url = env.CLIENT_URL;
exports.vendorUrl = env.CLIENT_VENDOR_URL;
exports.user = env.CLIENT_USER;
exports.password = env.CLIENT_PASSWORD;
exports.reader = env.CLIENT_READER;
exports.readerPassword = env.CLIENT_READER_PASSWORD;
exports.clientId = env.CLIENT_ID;
exports.clientSecret = env.CLIENT_SECRET;
exports.assert = assert;

exports.check = (name, work) => checks.push({ name, work });

// Does the checks in order and prints what came out, as one line of JSON at the end.
exports.run = async (packageJson) => {
  const results = [];
  for (const { name, work } of checks) {
    let problem = '';
    try {
      await work();
    } catch (error) {
      problem = `${error.stack}\n${JSON.stringify(error.description ?? error.message)}`;
    }
    results.push({ name, problem });
  }
  const text = JSON.stringify({ version: packageJson.version, checks: results });
  process.stdout.write(`\n${text}\n`, () => process.exit()); // a client may keep timers
};
