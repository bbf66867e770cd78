'use strict';

// Compiles a big CommonJS bundle with V8's code cache, which saves parsing it and compiling what an earlier worker used.
//
// Everything else about the module is Node's own: its loader calls `_compile`, and what that gives a module (`require` and
// so on, the source map) is taken from its compiling a body of one line in the bundle's place. A cache is made by an earlier
// worker of the same version, so by the same stranger whose code this is. V8 refuses one of another version of V8, other
// flags or a source of another length.
//
// V8 of Node 20 forgets with a cache whom a script asks for `import()`. So a bundle in which that stands, be it in a string
// or a comment, is left to Node. What a bundle evaluates that came from elsewhere can't use it, cached or not, lest what the
// first worker can do fails in the second.

const Module = require('node:module');
const vm = require('node:vm');

const LEAST_CHARACTERS = 30_000; // below, compiling takes under a millisecond
const HEAD = '(function (exports, require, module, __filename, __dirname) { ';
const TAIL = '\n})';
const UNFIT = /^#!|\bimport\s*(\(|\/[*/])/;
const STUB = 'return arguments;';

/** The compiled bundle of a worker. `code` says how it came to be: "compiled" or "cached", null where none is big. */
class Bundle {
  constructor() {
    this.code = null;
    this.script = null;
  }

  /** Has the module at `file` compiled with a cache, or without one where that is null, until what is returned is called. */
  intercept(file, cache) {
    const bundle = this;
    const plain = Module.prototype._compile;
    Module.prototype._compile = function _compile(content, filename) {
      const big = filename === file && content.length >= LEAST_CHARACTERS;
      return big && !UNFIT.test(content) ? bundle.run(this, content, cache, plain) : plain.call(this, content, filename);
    };
    return () => { Module.prototype._compile = plain; };
  }

  run(module, content, cache, plain) {
    let script;
    try {
      script = new vm.Script(HEAD + content + TAIL, {
        filename: module.filename,
        columnOffset: -HEAD.length,
        cachedData: cache ?? undefined,
      });
    } catch {
      return plain.call(module, content, module.filename); // and have Node say what is wrong with it
    }
    this.script = script;
    this.code = cache !== null && !script.cachedDataRejected ? 'cached' : 'compiled';
    const comment = script.sourceMapURL ? `\n//# sourceMappingURL=${script.sourceMapURL}` : '';
    const given = plain.call(module, STUB + comment, module.filename);
    return Reflect.apply(script.runInThisContext(), module.exports, given);
  }

  /** Returns the cache of what is compiled by now; empty where the bundle is not ours. */
  makeCache() {
    return this.script === null ? Buffer.alloc(0) : this.script.createCachedData();
  }
}

module.exports = { Bundle };
