// Connects by name in every way that Node has; its argument is a JSON document with names, ports and a certificate.
import dns from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { Worker } from 'node:worker_threads';

const { host, port, secure, ca, refused } = JSON.parse(process.argv[2]);

const body = (module, url, options = {}) => new Promise((resolve, reject) => {
  module.get(url, options, (response) => {
    let text = '';
    response.on('data', (part) => { text += part; });
    response.on('end', () => resolve(text));
  }).on('error', reject);
});
const connected = (to, at) => new Promise((resolve) => {
  const socket = net.connect(at, to, () => { socket.destroy(); resolve('connected'); });
  socket.on('error', (error) => resolve(error.code));
});
const inThread = () => new Promise((resolve, reject) => {
  const code = `require('http').get('http://${host}:${port}/', (response) => response.on('data', (part) =>
    require('worker_threads').parentPort.postMessage(String(part))))`;
  new Worker(code, { eval: true }).on('message', resolve).on('error', reject);
});

console.log(JSON.stringify({
  fetch: await (await fetch(`http://${host}:${port}/`)).text(),
  http: await body(http, `http://${host}:${port}/`),
  keptAlive: await body(http, `http://${host}:${port}/`, { agent: new http.Agent({ keepAlive: true }) }),
  https: await body(https, `https://${host}:${secure}/`, { ca }),
  net: await connected(host, port),
  lookup: (await dns.promises.lookup(host, { family: 4 })).address,
  resolve: await dns.promises.resolve4(host),
  thread: await inThread(),
  parallel: (await Promise.all([...Array(30)].map(() => body(http, `http://${host}:${port}/`)))).length,
  refused: await connected(refused, 80),
  fetchRefused: await fetch(`http://${refused}/`).catch((error) => error.cause.code),
}));
process.exit(0);
