'use strict';

const { collect, parseBody } = require('./bodies.cjs');

/**
 * The context a CloudServe handler gets: body (see bodies.cjs), rawBody (Buffer), query (an object; a repeated name has
 * an array), queryString, headers (names in lower case), cookies, method, path, params (the segments of path), url, ip,
 * executionId, functionName, version, env, and signal, an AbortSignal for when the caller went away.
 */
function makeContext(request, facts) {
  const headers = request.headers();
  const { query, path } = request;
  return {
    body: request.body.length > 0 ? parseBody(request.body, headers['content-type'] ?? '') : null,
    rawBody: request.body,
    query: query === '' ? {} : collect(new URLSearchParams(query)),
    queryString: query,
    headers,
    cookies: headers.cookie === undefined ? {} : readCookies(headers.cookie),
    method: request.method,
    path,
    params: path === '/' ? [] : path.split('/').filter(Boolean),
    url: request.baseUrl + path + (query === '' ? '' : `?${query}`),
    ip: request.client,
    executionId: request.executionId,
    functionName: facts.functionName,
    version: facts.version,
    env: process.env,
    get signal() {
      return request.signal().signal;
    },
  };
}

function readCookies(text) {
  const pairs = [];
  for (const piece of text.split(';')) {
    const at = piece.indexOf('=');
    if (at > 0) pairs.push([piece.slice(0, at).trim(), piece.slice(at + 1).trim().replace(/^"(.*)"$/, '$1')]);
  }
  return collect(pairs);
}

module.exports = { makeContext };
