'use strict';

// Attacks that use everything up, each up to a bound that is far above what a worker may have.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Worker } = require('node:worker_threads');

const MEBIBYTE = 1 << 20;
const kept = [];

function forkBomb({ most }) {
  return new Promise((resolve) => {
    let processes = 0;
    const more = () => {
      if (processes >= most) return resolve({ processes, refused: '' });
      const child = spawn('/usr/bin/sleep', ['60'], { stdio: 'ignore', detached: true });
      child.on('error', (error) => resolve({ processes, refused: error.code }));
      child.on('spawn', () => { processes += 1; more(); });
      return undefined;
    };
    more();
  });
}

function memory({ mebibytes }) {
  for (let size = 0; size < mebibytes; size += 1) kept.push(Buffer.alloc(MEBIBYTE, 1));
  return { mebibytes: kept.length };
}

function heap({ mebibytes }) {
  for (let size = 0; size < mebibytes * 8; size += 1) kept.push(new Array(16384).fill(size + 0.5));
  return { mebibytes };
}

function disk({ mebibytes }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fill-'));
  const data = Buffer.alloc(MEBIBYTE, 1);
  for (let written = 0; written < mebibytes; written += 1) {
    try {
      fs.appendFileSync(path.join(folder, String(Math.floor(written / 32))), data);
    } catch (error) {
      return { mebibytes: written, refused: error.code };
    }
  }
  return { mebibytes };
}

function inodes({ most }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fill-'));
  for (let files = 0; files < most; files += 1) {
    try {
      fs.closeSync(fs.openSync(path.join(folder, String(files)), 'w'));
    } catch (error) {
      return { files, refused: error.code };
    }
  }
  return { files: most };
}

function openFiles({ most }) {
  for (let opened = 0; opened < most; opened += 1) {
    try {
      kept.push(fs.openSync('/dev/null', 'r'));
    } catch (error) {
      const refused = error.code;
      while (kept.length > 0) fs.closeSync(kept.pop()); // Node needs a few to answer at all
      return { opened, refused };
    }
  }
  return { opened: most };
}

function output({ kilobytes }) {
  const line = 'x'.repeat(1000);
  for (let sent = 0; sent < kilobytes / 2; sent += 1) console.log(line);
  for (const descriptor of [1, 2]) {
    for (let sent = 0; sent < kilobytes / 4; sent += 1) {
      try {
        fs.writeSync(descriptor, `${line}\n`);
      } catch (error) {
        if (error.code !== 'EAGAIN') throw error;
      }
    }
  }
  return {};
}

async function* endlessAnswer() {
  const part = Buffer.alloc(65536);
  for (;;) yield part;
}

function spinning({ processes }) {
  for (let thread = 0; thread < processes; thread += 1) new Worker('for (;;);', { eval: true });
  for (;;);
}

function background({ mark }) {
  setInterval(() => {
    fs.appendFileSync(path.join(os.tmpdir(), 'beat'), mark);
    console.log(mark);
  }, 50);
  new Worker(`setInterval(() => console.log(${JSON.stringify(mark)}), 50)`, { eval: true });
  return { pid: process.pid };
}

function daemons({ python, mark }) {
  for (let number = 0; number < 3; number += 1) {
    const deaf = 'import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 15)]; time.sleep(300)';
    spawn(python, ['-I', '-S', '-c', deaf], { argv0: mark, detached: true, stdio: 'ignore' }).unref();
  }
  return new Promise((resolve) => setTimeout(() => resolve({ pid: process.pid }), 300));
}

module.exports = {
  'fork-bomb': forkBomb, memory, heap, disk, inodes, 'open-files': openFiles, output, 'endless-answer': endlessAnswer,
  spinning, background, daemons,
};
