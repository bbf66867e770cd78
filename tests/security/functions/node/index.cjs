'use strict';

// The attacker: makes the attack that a call names, first with what Node itself offers, then from a child process with
// every system call there is (the attacker in Python, which is part of this bundle). It says honestly what each try got.

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { Report } = require('./kit.cjs');
const files = require('./files.cjs');
const processes = require('./processes.cjs');
const native = require('./native.cjs');
const network = require('./network.cjs');
const abuses = require('./exhausting.cjs');

const OWN = { ...files, ...processes, ...native, ...network };
// What is about the very process that serves calls
const OWN_ALONE = new Set(['control-channels']);
const CHILD_MILLISECONDS = 60_000;

async function attack({ attack: name, targets }) {
  const report = new Report();
  if (OWN[name] !== undefined) await OWN[name](report, targets);
  if (OWN_ALONE.has(name)) return report;
  const child = inChild(targets.python, { attack: name, targets });
  for (const [what, got] of Object.entries(child.got)) report.got[`child: ${what}`] = got;
  for (const [what, why] of Object.entries(child.refused)) report.refused[`child: ${what}`] = why;
  return { got: report.got, refused: report.refused };
}

function inChild(python, request) {
  const program = path.join(__dirname, 'python', 'main.py');
  const done = spawnSync(python, ['-I', '-S', '-B', program], { input: JSON.stringify(request), timeout: CHILD_MILLISECONDS });
  if (done.error || done.status !== 0) {
    const why = done.error ? String(done.error) : `status ${done.status} ${done.signal}: ${done.stderr}`;
    return { got: {}, refused: { 'start a child process': why.slice(-500) } };
  }
  return JSON.parse(done.stdout);
}

module.exports = (context) => {
  const abuse = abuses[context.body.attack];
  return abuse === undefined ? attack(context.body) : abuse(context.body.targets);
};
