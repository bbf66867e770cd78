'use strict';

// Faults as the wire has them: what went wrong, for the function's owner.

const path = require('node:path');
const { BadResponse } = require('./responses.cjs');
const { limitOf } = require('./exhaustion.cjs');
const { peakKib } = require('./memory.cjs');

const MAX_STACK = 16 * 1024;
const MAX_MESSAGE = 4 * 1024;
const OURS = __dirname + path.sep;

/** A module that has nothing to call. */
class NoHandler extends Error {
  constructor(message) {
    super(message);
    this.name = 'NoHandler';
  }
}

/** Returns a fault as JSON; `code` is the folder that stacks are told relative to, `ending` that the process ends now. */
function describe(error, code, loading, ending = false) {
  const known = error instanceof BadResponse || error instanceof NoHandler;
  let reason = loading ? 'load-failed' : 'exception';
  if (error instanceof BadResponse) reason = 'bad-response';
  if (error instanceof NoHandler) reason = 'no-handler';
  const fault = { reason, name: 'Error', message: '', stack: '', memoryKib: peakKib(), ending };
  try {
    if (error !== null && typeof error === 'object') {
      Object.assign(fault, limitOf(error));
      fault.name = String(error.name ?? error.constructor?.name ?? 'Error');
      fault.message = String(error.message ?? '').slice(0, MAX_MESSAGE);
      if (!known) fault.stack = stackOf(error, code);
      if (fault.message.startsWith(code)) fault.message = fault.message.slice(code.length + 1);
    } else fault.message = String(error).slice(0, MAX_MESSAGE);
  } catch (second) { // user code can fail in its getters too
    fault.message = `An error that can't be shown: ${second.message}`;
  }
  return JSON.stringify(fault);
}

function stackOf(error, code) {
  let text = inUserTerms(String(error.stack ?? ''), code);
  if (error.cause !== undefined && error.cause !== null && typeof error.cause === 'object') {
    text += `\nCaused by: ${stackOf(error.cause, code)}`;
  }
  return text.slice(0, MAX_STACK);
}

/** Returns a text with stacks in it without the frames that are not the user's, and with files relative to the code. */
function inUserTerms(text, code) {
  const kept = [];
  let ours = false;
  for (const line of text.split('\n')) {
    const isFrame = /^ +at /.test(line);
    ours = isFrame && (line.includes(OURS) || (ours && /\bnode:/.test(line))); // and how Node came to us
    if (!ours && !(isFrame && line.includes('node:internal'))) kept.push(line);
    else if (line.endsWith(' {') && kept.length > 0) kept[kept.length - 1] += ' {'; // an error's own fields follow
  }
  let told = kept.join('\n');
  for (const folder of [code, path.dirname(code)]) { // dependencies lie beside the code
    told = told.replaceAll(`file://${folder}/`, '').replaceAll(`${folder}/`, '');
  }
  return told;
}

module.exports = { NoHandler, describe, inUserTerms };
