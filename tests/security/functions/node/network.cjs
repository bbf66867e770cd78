'use strict';

// A refused connection fails with one of these; every other outcome counts as got.

const dgram = require('node:dgram');
const http = require('node:http');
const net = require('node:net');

const REFUSALS = new Set(['EACCES', 'EPERM', 'ENOSYS', 'EAFNOSUPPORT', 'EAI_AGAIN', 'ENOTFOUND']);
const PATIENCE = 1000;
const LOOPBACK = [
  '127.0.0.1', '127.1', '0.0.0.0', '0', '2130706433', '0x7f000001', '0177.0.0.1', 'localhost', '::1', '::',
  '::ffff:127.0.0.1', '::ffff:7f00:1', '::127.0.0.1', '64:ff9b::7f00:1',
];
const PRIVATE = [
  '10.0.0.1', '172.16.0.1', '192.168.0.1', '169.254.169.254', '100.64.0.1', 'fe80::1', 'fd00:ec2::254',
  '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1',
];

function connect(options) {
  return outcome((done) => {
    const socket = net.connect({ ...options, timeout: PATIENCE }, () => done(null));
    socket.on('error', done);
    socket.on('timeout', () => done(new Error('timed out')));
    return () => socket.destroy();
  });
}

// Settles with what was got; a refusal rejects.
function outcome(start) {
  return new Promise((resolve, reject) => {
    const end = start((error) => {
      setImmediate(() => end());
      if (error === null) resolve('connected');
      else if (refused(error)) reject(error);
      else resolve(`let out: ${error}`);
    });
  });
}

function refused(error) {
  const causes = [error, error?.cause, ...(error?.errors ?? []), ...(error?.cause?.errors ?? [])];
  return causes.some((cause) => REFUSALS.has(cause?.code));
}

async function fetched(url) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE) });
    return `${answer.status} ${(await answer.text()).slice(0, 200)}`;
  } catch (error) {
    if (refused(error)) throw error.cause ?? error;
    return `let out: ${error} ${error.cause ?? ''}`;
  }
}

async function loopback(report, targets) {
  for (const host of [...LOOPBACK, ...targets.own_addresses]) {
    for (const port of targets.ports) await report.attempt(`connect to ${host} ${port}`, () => connect({ host, port }));
  }
  for (const host of ['127.0.0.1', '[::1]', '2130706433', '0x7f.1', '017700000001', 'localhost', '[::ffff:127.0.0.1]']) {
    const url = `http://${host}:${targets.ports[0]}/`;
    await report.attempt(`fetch ${url}`, () => fetched(url));
  }
  const port = targets.ports[0];
  await report.attempt('http.get', () => outcome((done) => {
    const request = http.get({ host: '127.0.0.1', port, timeout: PATIENCE }, () => done(null));
    request.on('error', done);
    return () => request.destroy();
  }));
}

async function privateAddresses(report) {
  for (const host of PRIVATE) await report.attempt(`connect to ${host}`, () => connect({ host, port: 80 }));
  await report.attempt('fetch the metadata', () => fetched('http://169.254.169.254/latest/meta-data/'));
}

async function rebinding(report, targets) {
  for (const url of targets.closed) await report.attempt(`follow a redirect to ${url}`, () => fetched(targets.redirect + url));
  for (const host of targets.names) {
    for (const port of targets.ports) {
      await report.attempt(`a name that changes, ${host}:${port}`, async () => {
        const outcomes = [];
        for (let round = 0; round < 10; round += 1) {
          outcomes.push(await connect({ host, port }).catch(() => 'refused'));
        }
        // The open address of a name may well refuse a port that is a closed one's
        return outcomes.filter((each) => each !== 'refused' && !each.includes('ECONNREFUSED')).join(', ');
      });
    }
  }
}

async function datagrams(report, targets) {
  for (const [host, port] of [['127.0.0.1', targets.udp], [targets.open[0], 9]]) {
    await report.attempt(`send to ${host} ${port}`, () => new Promise((resolve, reject) => {
      const socket = dgram.createSocket('udp4');
      socket.on('error', reject);
      socket.send('x', port, host, (error) => (error ? reject(error) : resolve('sent')));
    }));
  }
}

async function sockets(report, targets) {
  for (const [kind, path] of targets.unix) {
    if (kind === 1) await report.attempt(`connect to ${path}`, () => connect({ path: path.replace('@', '\0') }));
  }
}

async function listening(report) {
  for (const place of [{ port: 0, host: '127.0.0.1' }, { port: 0, host: '::' }, { path: '\0intruder' }, { path: 'intruder' }]) {
    await report.attempt(`listen on ${JSON.stringify(place)}`, () => new Promise((resolve, reject) => {
      const server = net.createServer().on('error', reject).listen(place, () => server.close(() => resolve('listens')));
    }));
  }
}

module.exports = {
  loopback, 'private-addresses': privateAddresses, rebinding, datagrams, sockets, listening,
};
