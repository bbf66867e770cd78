'use strict';

const fs = require('node:fs');
const os = require('node:os');
const { canaries, readSmall } = require('./kit.cjs');

function inSight() {
  try {
    return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  } catch {
    return [];
  }
}

async function read(report, pids) {
  for (const pid of pids) {
    for (const name of ['environ', 'cmdline']) {
      await report.attempt(`${name} of ${pid}`, () => canaries(readSmall(`/proc/${pid}/${name}`)));
    }
    await report.attempt(`memory of ${pid}`, () => fs.closeSync(fs.openSync(`/proc/${pid}/mem`, 'r+')) ?? 'opened');
  }
}

async function signals(report, targets) {
  for (const pid of [...targets.platform, ...targets.pids]) {
    await report.attempt(`kill ${pid}`, () => process.kill(pid, 'SIGURG'));
    await report.attempt(`priority of ${pid}`, () => os.setPriority(pid, os.getPriority(pid) + 1) ?? 'changed');
  }
}

// Sockets but its own, and files or folders that nobody opened for it; what libuv makes for itself is neither.
function strangers() {
  return fs.readdirSync('/proc/self/fd').flatMap((name) => {
    let place;
    try {
      place = fs.readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return [];
    }
    const known = place === '/dev/null' || place.endsWith('/fd') || /^(pipe|anon_inode):/.test(place);
    return known || (name === '3' && place.startsWith('socket:')) ? [] : [`${name} ${place}`];
  });
}

module.exports = {
  'control-channels': (report) => report.attempt('descriptors that are none of its own', strangers),
  'other-environment': (report, targets) => read(report, [...targets.pids, ...inSight()]),
  'platform-memory': (report, targets) => read(report, [...targets.platform, 1, process.ppid]),
  'list-processes': (report) => report.attempt('names in /proc', inSight),
  signals,
};
