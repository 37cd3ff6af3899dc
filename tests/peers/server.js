// Node's servers: server.js https|http2|h2c PORT CERTIFICATE KEY. Each answers 200 to everything.
const fs = require('fs');
const [kind, port, cert, key] = process.argv.slice(2);
const options = {cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: kind === 'http2'};
const answer = (request, response) => {
  request.resume();
  request.on('end', () => response.end('ok\n'));
};
const server = {
  https: () => require('https').createServer(options, answer),
  http2: () => require('http2').createSecureServer(options, answer),
  h2c: () => require('http2').createServer(answer),
}[kind]();
server.listen(Number(port), '127.0.0.1');
