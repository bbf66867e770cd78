'use strict';

// What reaches the kernel from Node without a foreign function interface: its own bindings, shared objects that it loads
// (whose constructors run), programs that it starts, and its own inspector.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

function run(program, ...parts) {
  const done = spawnSync(program, parts, { encoding: 'utf8', timeout: 5000 });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`status ${done.status} ${done.signal}: ${done.stderr.trim().slice(0, 200)}`);
  return `ran ${done.stdout.trim().slice(0, 200)}`;
}

async function namespaces(report) {
  for (const flags of ['-U', '-Ur', '-m', '-n', '-p', '-i', '-u']) {
    await report.attempt(`unshare ${flags}`, () => run('/usr/bin/unshare', flags, '/bin/true'));
  }
  await report.attempt('nsenter', () => run('/usr/bin/nsenter', '-t', '1', '-m', '/bin/true'));
}

async function mounts(report) {
  fs.mkdirSync('mounted', { recursive: true });
  await report.attempt('mount', () => run('/usr/bin/mount', '-t', 'tmpfs', 'none', 'mounted') && run('/usr/bin/umount', 'mounted'));
  await report.attempt('chroot', () => run('/usr/sbin/chroot', '/', '/bin/true'));
}

async function privileges(report) {
  await report.attempt('setuid 0', () => process.setuid(0) ?? (process.getuid() === 0 && mighty()));
  await report.attempt('setgroups', () => process.setgroups([0]) ?? 'set');
  await report.attempt('capabilities it has', mighty);
  await report.attempt('less nice', () => {
    const os = require('node:os');
    const before = os.getPriority();
    os.setPriority(before - 1);
    return `${before} to ${os.getPriority()}`;
  });
  // A shared object that is no addon: its constructors run with the walls of the process that loads it, no others
  await report.attempt('dlopen', () => {
    const library = fs.readdirSync('/usr/lib').flatMap((name) => {
      const file = path.join('/usr/lib', name, 'libutil.so.1');
      return fs.existsSync(file) ? [file] : [];
    })[0];
    try {
      process.dlopen({ exports: {} }, library);
    } catch (error) {
      if (!/self-register/.test(error.message)) throw error;
    }
    return mighty();
  });
}

async function kernelInterfaces(report) {
  await report.attempt('binding spawn_sync', () => {
    const { spawn } = process.binding('spawn_sync');
    const options = { file: '/bin/dmesg', args: ['dmesg'], stdio: [{ type: 'pipe', readable: true, writable: false }] };
    const done = spawn(options);
    return done.status === 0 && 'ran';
  });
}

function mighty() {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
  return BigInt(`0x${effective}`) !== 0n && `capabilities ${effective}`;
}

module.exports = { namespaces, mounts, privileges, 'kernel-interfaces': kernelInterfaces };
