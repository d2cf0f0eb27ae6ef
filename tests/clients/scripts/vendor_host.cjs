// Stands in for a line of /etc/hosts and a port forward: the vendor's host is the instance under test.
const tls = require('node:tls');

const url = new URL(process.env.CLIENT_URL);
const vendor = new URL(process.env.CLIENT_VENDOR_URL).hostname;
const connect = tls.connect;

tls.connect = function (options, ...rest) {
  if (options && options.host === vendor) {
    options = { ...options, host: url.hostname, port: Number(url.port), servername: vendor };
  }
  return connect.call(this, options, ...rest);
};
