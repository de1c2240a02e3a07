// A program without a browser, with `openid-client`: asks for codes, shows them, and polls as the library does.
// usage: device.mjs MCP-URL
import * as client from 'openid-client';

import { ask, check, tell } from './dialogue.mjs';
import { toolCall } from './mcp.mjs';

const [url] = process.argv.slice(2);
const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

// The server of the tests listens on loopback without TLS; nothing else is relaxed.
const config = await client.dynamicClientRegistration(
  new URL(new URL(url).origin),
  { client_name: 'openid-client', grant_types: [GRANT, 'refresh_token'], token_endpoint_auth_method: 'none' },
  client.None(),
  { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
);
check(config.serverMetadata().device_authorization_endpoint, 'no device authorization endpoint');

const codes = await client.initiateDeviceAuthorization(config, { scope: 'mcp profile', resource: url });
const polling = client.pollDeviceAuthorizationGrant(config, codes);
await ask('connect', codes);
let tokens;
try {
  tokens = await polling;
} catch (error) {
  check(error.error === 'access_denied', error.stack);
  tell('denied', { error: error.error });
  process.exit(0);
}

async function whoami(token) {
  const { headers, body } = toolCall('whoami', 'device');
  const answer = await client.fetchProtectedResource(config, token, new URL(url), 'POST', body, headers);
  check(answer.status === 200, `status ${answer.status}`);
  tell('whoami', { result: await answer.text() });
}

await whoami(tokens.access_token);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, { resource: url });
check(refreshed.refresh_token !== tokens.refresh_token, 'the refresh token did not rotate');
await whoami(refreshed.access_token);
process.exit(0);
