// Node's clients of TLS: client.js https|http2|fetch BASE CERTIFICATE. Each sends GET BASE/one, then POST
// BASE/two with a body of 100,000 bytes, then GET BASE/three, over one connection. fetch trusts what
// NODE_EXTRA_CA_CERTS says.
const fs = require('fs');
const [kind, base, certificate] = process.argv.slice(2);
const ca = fs.readFileSync(certificate);
const wanted = [['GET', '/one'], ['POST', '/two', 'b'.repeat(100000)], ['GET', '/three']];
const headers = {authorization: 'Bearer from-node'};

const agent = new (require('https').Agent)({keepAlive: true, maxSockets: 1, ca});
const byHttps = ([method, path, body]) => new Promise((done, fail) => {
  const request = require('https').request(base + path, {method, agent, headers}, response => {
    response.resume();
    response.on('end', done);
  });
  request.on('error', fail);
  request.end(body);
});

let session;
const byHttp2 = ([method, path, body]) => new Promise((done, fail) => {
  const {origin, pathname} = new URL(base);
  session ??= require('http2').connect(origin, {ca});
  session.on('error', fail);
  const stream = session.request({':method': method, ':path': pathname + path, ...headers});
  stream.resume();
  stream.on('error', fail);
  stream.on('end', done);
  stream.end(body);
});

const byFetch = async ([method, path, body]) => (await fetch(base + path, {method, body, headers})).text();

(async () => {
  const one = {https: byHttps, http2: byHttp2, fetch: byFetch}[kind];
  for (const request of wanted) await one(request);
  process.exit(0);
})();
