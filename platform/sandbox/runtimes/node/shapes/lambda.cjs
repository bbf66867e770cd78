'use strict';

// AWS Lambda's shape: `handler(event, context[, callback])` with API Gateway events of payload format 2.0.
//
// It is taken for an export named `handler` that has two parameters or more, or whose first parameter is called `event`;
// and when the version's `handler` says `lambda`. The answer follows the same format: an object with statusCode, else JSON
// of whatever was returned, with status 200.

const { isText } = require('../bodies.cjs');
const { Answer, fromParts, toJson, JSON_TYPE } = require('../responses.cjs');

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function find(exported, name, facts, asked) {
  if (exported === null || exported === undefined) return null;
  let target = exported[name ?? 'handler'] ?? exported.default?.[name ?? 'handler'];
  if (target === undefined && asked) target = exported.default ?? exported;
  if (typeof target !== 'function' || !(asked || looksLikeLambda(target))) return null;
  return { call: (request) => run(target, request, facts), respond };
}

function looksLikeLambda(target) {
  return target.length >= 2
    || /^(async\s*)?(function\b[^(]*)?\(?\s*event\b/.test(Function.prototype.toString.call(target));
}

function run(target, request, facts) {
  const event = makeEvent(request);
  const context = makeContext(request, facts);
  if (target.length < 3) return target(event, context);
  return new Promise((resolve, reject) => {
    const done = (error, result) => (error ? reject(error) : resolve(result));
    const returned = target(event, context, done);
    if (returned && typeof returned.then === 'function') returned.then(resolve, reject);
  });
}

function makeContext(request, facts) {
  const name = facts.functionName;
  return {
    awsRequestId: request.executionId,
    functionName: name,
    functionVersion: String(facts.version),
    memoryLimitInMB: String(facts.memoryMb),
    invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${name}`,
    logGroupName: `/aws/lambda/${name}`,
    logStreamName: request.executionId,
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(request.deadline - performance.now())),
  };
}

/** The API Gateway event, payload format 2.0. */
function makeEvent(request) {
  const headers = request.headers();
  const cookies = headers.cookie;
  delete headers.cookie;
  const domain = request.baseUrl.split('/')[2] ?? '';
  const now = Date.now();
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: request.path,
    rawQueryString: request.query,
    headers,
    requestContext: {
      accountId: 'anonymous',
      apiId: 'cloudserve',
      domainName: domain,
      domainPrefix: domain.split('.')[0],
      http: {
        method: request.method,
        path: request.path,
        protocol: 'HTTP/1.1',
        sourceIp: request.client,
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: request.executionId,
      routeKey: '$default',
      stage: '$default',
      time: commonLogTime(new Date(now)),
      timeEpoch: now,
    },
    isBase64Encoded: false,
  };
  if (cookies !== undefined) event.cookies = cookies.split(';').map((cookie) => cookie.trim());
  if (request.query !== '') event.queryStringParameters = joinedQuery(request.query);
  if (request.body.length > 0) {
    const type = headers['content-type'];
    event.isBase64Encoded = type !== undefined && !isText(type);
    event.body = request.body.toString(event.isBase64Encoded ? 'base64' : 'utf8');
  }
  return event;
}

function joinedQuery(query) {
  const joined = {};
  for (const [name, value] of new URLSearchParams(query)) {
    joined[name] = Object.hasOwn(joined, name) ? `${joined[name]},${value}` : value;
  }
  return joined;
}

function commonLogTime(date) {
  const two = (number) => String(number).padStart(2, '0');
  return `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}:`
    + `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`;
}

function respond(value) {
  if (value !== null && typeof value === 'object' && value.statusCode !== undefined) return fromParts(value);
  const body = typeof value === 'string' ? value : toJson(value ?? null);
  return new Answer(200, ['content-type', JSON_TYPE], body);
}

module.exports = { find };
