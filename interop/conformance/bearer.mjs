// Loaded by node before the conformance suite, which sends no token of its own: every request
// to the server under test carries INTEROP_BEARER, and no other request does.
// `fetch` and `undici` share one dispatcher; `node:http` has its own way out.
import http from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const origin = new URL(process.env.INTEROP_ORIGIN).origin;
const bearer = `Bearer ${process.env.INTEROP_BEARER}`;

const suite = createRequire(process.env.INTEROP_SUITE);
const { getGlobalDispatcher, setGlobalDispatcher } = await import(
  pathToFileURL(suite.resolve('undici')).href
);

function present(headers, name) {
  if (headers === undefined || headers === null) return false;
  if (Array.isArray(headers)) {
    return headers.flat().some((item, index) => index % 2 === 0 && String(item).toLowerCase() === name);
  }
  const names = typeof headers.keys === 'function' ? [...headers.keys()] : Object.keys(headers);
  return names.some((item) => item.toLowerCase() === name);
}

function withBearer(headers) {
  if (present(headers, 'authorization')) return headers;
  if (Array.isArray(headers)) return [...headers, 'authorization', bearer];
  const entries = headers && typeof headers.entries === 'function' ? headers.entries() : Object.entries(headers ?? {});
  return { ...Object.fromEntries(entries), authorization: bearer };
}

setGlobalDispatcher(
  getGlobalDispatcher().compose((dispatch) => (options, handler) => {
    const ours = new URL(String(options.origin)).origin === origin;
    return dispatch(ours ? { ...options, headers: withBearer(options.headers) } : options, handler);
  }),
);

const plainRequest = http.request;
http.request = function request(...given) {
  const outgoing = plainRequest.apply(this, given);
  const target = `${outgoing.protocol}//${outgoing.host}:${given[0]?.port ?? new URL(String(given[0])).port}`;
  if (target === origin && !outgoing.hasHeader('authorization')) {
    outgoing.setHeader('authorization', bearer);
  }
  return outgoing;
};
