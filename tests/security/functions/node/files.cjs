'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { canaries, readSmall } = require('./kit.cjs');

async function hostFiles(report, targets) {
  for (const file of targets.files) {
    await report.attempt(`read ${file}`, () => `${readSmall(file).length} bytes ${canaries(readSmall(file))}`);
  }
  for (const folder of targets.folders) await report.attempt(`list ${folder}`, () => fs.readdirSync(folder));
}

async function otherCode(report, targets) {
  for (const file of targets.others) {
    await report.attempt(`read ${file}`, () => canaries(readSmall(file)));
    await report.attempt(`list the folder of ${file}`, () => fs.readdirSync(path.dirname(file)));
    await report.attempt(`copy ${file}`, () => {
      fs.copyFileSync(file, 'copied');
      return canaries(readSmall('copied'));
    });
  }
}

async function treeEscapes(report, targets) {
  for (const name of targets.links) {
    await report.attempt(`follow ${name}`, () => canaries(readSmall(path.join(__dirname, name))));
  }
  const inside = '../'.repeat(40) + targets.canary.slice(1);
  for (const start of [__dirname, '/box/fn', '/proc/self/cwd', '/dev/fd', '.']) {
    await report.attempt(`walk from ${start}`, () => canaries(readSmall(`${start}/${inside}`)));
  }
}

async function writes(report, targets) {
  const inOwn = (folder) => `${folder}/`.startsWith(`${process.env.TMPDIR}/`);
  for (const file of targets.spoil) {
    await report.attempt(`append to ${file}`, () => fs.appendFileSync(file, 'spoiled') ?? 'appended');
    await report.attempt(`rename ${file}`, () => {
      fs.renameSync(file, `${file}-moved`);
      fs.renameSync(`${file}-moved`, file);
      return 'renamed';
    });
  }
  const folders = [__dirname, path.dirname(__dirname), '/', '/etc', '/usr', '/var/tmp', '/root', '/box'];
  for (const folder of folders.filter((each) => !inOwn(each))) {
    await report.attempt(`make a file in ${folder}`, () => {
      const file = path.join(folder, `intruder-${process.pid}`);
      fs.writeFileSync(file, 'x', { flag: 'wx' });
      fs.unlinkSync(file);
      return file;
    });
  }
}

module.exports = {
  'host-files': hostFiles, 'other-code': otherCode, 'tree-escapes': treeEscapes, writes,
};
