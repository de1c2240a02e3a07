// `openid-client` as a machine: it makes a key, the operator makes a client of it, and from then on it signs for
// itself. Client credentials with `private_key_jwt` (RFC 6749 §4.4, RFC 7523 §2.2), then a tool call.
// usage: machine.mjs ISSUER MCP-URL ALGORITHM
import * as oidc from 'openid-client';

import { ask, check, tell } from './dialogue.mjs';
import { toolCall } from './mcp.mjs';

const [issuer, url, algorithm] = process.argv.slice(2);
const SHAPES = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
};
const { privateKey, publicKey } = await crypto.subtle.generateKey(SHAPES[algorithm], true, ['sign', 'verify']);
const { kty, crv, x, y, n, e } = await crypto.subtle.exportKey('jwk', publicKey);
const clientId = await ask('keys', { jwks: { keys: [{ kty, crv, x, y, n, e, kid: 'machine', alg: algorithm }] } });

const config = await oidc.discovery(
  new URL(issuer),
  clientId,
  {},
  oidc.PrivateKeyJwt({ key: privateKey, kid: 'machine' }),
  // The server of the tests listens on loopback without TLS; nothing else is relaxed.
  { algorithm: 'oauth2', execute: [oidc.allowInsecureRequests] },
);
const { token_endpoint_auth_methods_supported: methods, token_endpoint_auth_signing_alg_values_supported: algorithms } =
  config.serverMetadata();
check(methods.includes('private_key_jwt') && algorithms.includes(algorithm), 'the server does not say that it can');

for (let round = 0; round < 2; round += 1) {
  const tokens = await oidc.clientCredentialsGrant(config, { scope: 'mcp', resource: url });
  check(tokens.refresh_token === undefined, 'a refresh token for nobody');
  const { headers, body } = toolCall('whoami', 'machine');
  const answer = await oidc.fetchProtectedResource(config, tokens.access_token, new URL(url), 'POST', body, headers);
  check(answer.status === 200, `status ${answer.status}`);
  tell('whoami', { result: await answer.text(), token: tokens.access_token });
}
process.exit(0);
