// `oauth4webapi` with DPoP: every token is bound to a key of ours, every request proves that we hold it,
// and nothing else opens the resource.
// usage: dpop.mjs MCP-URL ALGORITHM NONCES
import * as oauth from 'oauth4webapi';

import { ask, check, tell } from './dialogue.mjs';
import { toolCall } from './mcp.mjs';

const [url, algorithm, nonces] = process.argv.slice(2);
const REDIRECT = 'http://127.0.0.1:33419/callback';
// The server of the tests listens on loopback without TLS; nothing else is relaxed.
const plain = { [oauth.allowInsecureRequests]: true };
const told = [];

// Tries once more with the nonce where the server asks for one, as the library's manual has it.
async function persistent(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    told.push(error.status);
    return attempt();
  }
}

async function refused(attempt, scheme, code) {
  try {
    await persistent(attempt);
  } catch (error) {
    const given = error.error ?? error.cause.find((challenge) => challenge.scheme === scheme)?.parameters.error;
    check(given === code, `refused with ${given}, not ${code}: ${error.stack}`);
    return;
  }
  throw new Error('was let in');
}

async function discover() {
  const found = await oauth.resourceDiscoveryRequest(new URL(url), plain);
  const resource = await oauth.processResourceDiscoveryResponse(new URL(url), found);
  const issuer = new URL(resource.authorization_servers[0]);
  const server = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...plain }),
  );
  for (const metadata of [resource, server]) {
    check(metadata.dpop_signing_alg_values_supported.includes(algorithm), `${algorithm} is not advertised`);
  }
  return { resource, server };
}

async function register({ server }) {
  const answer = await oauth.dynamicClientRegistrationRequest(
    server,
    {
      client_name: 'oauth4webapi with DPoP',
      redirect_uris: [REDIRECT],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
      dpop_bound_access_tokens: true,
    },
    plain,
  );
  const client = await oauth.processDynamicClientRegistrationResponse(answer);
  check(client.dpop_bound_access_tokens === true, 'the client did not register for bound tokens');
  return client;
}

async function authorize({ server, resource }, client, DPoP, other) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const address = new URL(server.authorization_endpoint);
  address.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: REDIRECT,
    scope: resource.scopes_supported.join(' '),
    resource: resource.resource,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    dpop_jkt: await DPoP.calculateThumbprint(),
  });
  const callback = new URL(await ask('authorize', { url: address.href }));
  const parameters = oauth.validateAuthResponse(server, client, callback, state);
  const redeem = async (handle) => {
    const answer = await oauth.authorizationCodeGrantRequest(
      server, client, oauth.None(), parameters, REDIRECT, verifier,
      { DPoP: handle, additionalParameters: { resource: resource.resource }, ...plain },
    );
    return oauth.processAuthorizationCodeResponse(server, client, answer);
  };
  await refused(() => redeem(other), 'dpop', 'invalid_grant');
  return persistent(() => redeem(DPoP));
}

async function whoami({ server, resource }, token, DPoP) {
  let sent;
  const { headers, body } = toolCall('whoami', 'dpop');
  const answer = await persistent(() =>
    oauth.protectedResourceRequest(token, 'POST', new URL(url), headers, body, {
      DPoP,
      [oauth.customFetch]: (address, init) => {
        sent = new Request(address, init);
        return fetch(address, init);
      },
      ...plain,
    }),
  );
  check(answer.status === 200, `status ${answer.status}`);
  check(answer.headers.has('dpop-nonce') === (nonces === 'true'), 'the answer has a nonce, or lacks one');
  // The library is a strict resource server as well: what it sent must satisfy itself.
  const claims = await oauth.validateJwtAccessToken(server, sent, resource.resource, { requireDPoP: true, ...plain });
  tell('whoami', { result: await answer.text(), claims });
}

const generate = () => oauth.generateKeyPair(algorithm, { extractable: false });
const [pair, stranger] = await Promise.all([generate(), generate()]);
const site = await discover();
const client = await register(site);
const DPoP = oauth.DPoP(client, pair);
const other = oauth.DPoP(client, stranger);

const granted = await authorize(site, client, DPoP, other);
check(granted.token_type === 'dpop', `token type ${granted.token_type}`);
// With the same key, but without the nonce that the token endpoint gave.
await whoami(site, granted.access_token, oauth.DPoP(client, pair));
await refused(() => whoami(site, granted.access_token), 'bearer', 'invalid_token');
await refused(() => whoami(site, granted.access_token, other), 'dpop', 'invalid_token');

const renew = async (token, handle) =>
  oauth.processRefreshTokenResponse(
    site.server,
    client,
    await oauth.refreshTokenGrantRequest(site.server, client, oauth.None(), token, { DPoP: handle, ...plain }),
  );
await refused(() => renew(granted.refresh_token, other), 'dpop', 'invalid_grant');
const refreshed = await persistent(() => renew(granted.refresh_token, DPoP));
check(refreshed.token_type === 'dpop', `token type ${refreshed.token_type}`);
await whoami(site, refreshed.access_token, DPoP);

await oauth.processRevocationResponse(
  await oauth.revocationRequest(site.server, client, oauth.None(), refreshed.refresh_token, plain),
);
await refused(() => whoami(site, refreshed.access_token, DPoP), 'dpop', 'invalid_token');
tell('refused', { asked_for_nonces: told });
process.exit(0);
