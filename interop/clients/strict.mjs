// `oauth4webapi`, which checks every answer against its RFC: metadata, registration, the
// authorization response, token responses, the access token itself, challenges.
// usage: strict.mjs MCP-URL TOKEN-ENDPOINT-AUTH-METHOD [pushed]
import * as oauth from 'oauth4webapi';

import { ask, check, tell } from './dialogue.mjs';
import { toolCall } from './mcp.mjs';

const [url, method, how] = process.argv.slice(2);
const REDIRECT = 'http://127.0.0.1:33419/callback';
// The server of the tests listens on loopback without TLS; nothing else is relaxed.
const plain = { [oauth.allowInsecureRequests]: true };

const AUTHENTICATION = {
  none: () => oauth.None(),
  client_secret_basic: (secret) => oauth.ClientSecretBasic(secret),
  client_secret_post: (secret) => oauth.ClientSecretPost(secret),
};

function whoami(token) {
  const { headers, body } = toolCall('whoami', 'strict');
  return oauth.protectedResourceRequest(token, 'POST', new URL(url), headers, body, plain);
}

async function failure(attempt) {
  try {
    await attempt();
  } catch (error) {
    return error;
  }
  throw new Error('was let in');
}

async function challenged(token, error) {
  const refusal = await failure(() => whoami(token));
  check(refusal instanceof oauth.WWWAuthenticateChallengeError, `no challenge: ${refusal.stack}`);
  check(refusal.status === 401, `status ${refusal.status}`);
  const bearer = refusal.cause.find(({ scheme }) => scheme === 'bearer');
  check(bearer?.parameters.error === error, `challenge ${JSON.stringify(refusal.cause)}`);
  return new URL(bearer.parameters.resource_metadata);
}

async function discover() {
  const metadata = await challenged('not-a-token', 'invalid_token');
  const found = await oauth.resourceDiscoveryRequest(new URL(url), plain);
  check(found.url === metadata.href, `the challenge names ${metadata}, the rule says ${found.url}`);
  const resource = await oauth.processResourceDiscoveryResponse(new URL(url), found);
  const issuer = new URL(resource.authorization_servers[0]);
  const [server] = await Promise.all(
    ['oauth2', 'oidc'].map(async (algorithm) =>
      oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...plain })),
    ),
  );
  return { resource, server };
}

async function register(server) {
  const answer = await oauth.dynamicClientRegistrationRequest(
    server,
    {
      client_name: 'oauth4webapi',
      redirect_uris: [REDIRECT],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: method,
    },
    plain,
  );
  const client = await oauth.processDynamicClientRegistrationResponse(answer);
  check(client.token_endpoint_auth_method === method, `registered as ${client.token_endpoint_auth_method}`);
  return { client, authentication: AUTHENTICATION[method](client.client_secret) };
}

// A refusal by the person is an answer too: it must carry the issuer and the state like any other.
function approved(validate) {
  try {
    return validate();
  } catch (error) {
    check(error instanceof oauth.AuthorizationResponseError, error.stack);
    tell('denied', { error: error.error });
    process.exit(0);
  }
}

// RFC 9126: what the browser brings instead of the request.
async function push(server, client, authentication, parameters) {
  const answer = await oauth.pushedAuthorizationRequest(server, client, authentication, parameters, plain);
  const { request_uri, expires_in } = await oauth.processPushedAuthorizationResponse(server, client, answer);
  check(expires_in <= 60, `the handle is good for ${expires_in} s`);
  return new URLSearchParams({ client_id: client.client_id, request_uri });
}

// RFC 7662 and RFC 9701: a client with a secret may look at its own tokens.
async function introspect({ server, resource }, { client, authentication }, token, active) {
  for (const requestJwtResponse of [false, true]) {
    const answer = await oauth.introspectionRequest(server, client, authentication, token, {
      requestJwtResponse, ...plain,
    });
    const told = await oauth.processIntrospectionResponse(server, client, answer);
    if (requestJwtResponse) await oauth.validateApplicationLevelSignature(server, answer, plain);
    check(told.active === active, `introspection says ${JSON.stringify(told)}`);
    check(!active || told.aud === resource.resource, `introspection says ${JSON.stringify(told)}`);
  }
}

async function authorize({ server, resource }, { client, authentication }) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const parameters = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: REDIRECT,
    scope: (resource.scopes_supported ?? []).join(' '),
    resource: resource.resource,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const address = new URL(server.authorization_endpoint);
  address.search = how === 'pushed' ? await push(server, client, authentication, parameters) : parameters;
  const callback = new URL(await ask('authorize', { url: address.href }));
  const answered = approved(() => oauth.validateAuthResponse(server, client, callback, state));
  const answer = await oauth.authorizationCodeGrantRequest(
    server, client, authentication, answered, REDIRECT, verifier,
    { additionalParameters: { resource: resource.resource }, ...plain },
  );
  check(answer.headers.get('cache-control')?.includes('no-store'), 'tokens may be cached');
  return oauth.processAuthorizationCodeResponse(server, client, answer);
}

async function use({ server, resource }, token) {
  const request = new Request(url, { headers: { authorization: `Bearer ${token}` } });
  const claims = await oauth.validateJwtAccessToken(server, request, resource.resource, plain);
  const answer = await whoami(token);
  check(answer.status === 200, `status ${answer.status}`);
  tell('whoami', { result: await answer.text(), claims });
}

const site = await discover();
const { client, authentication } = await register(site.server);
const granted = await authorize(site, { client, authentication });
await use(site, granted.access_token);
if (method !== 'none') await introspect(site, { client, authentication }, granted.access_token, true);

const renew = (token) =>
  oauth.refreshTokenGrantRequest(site.server, client, authentication, token, {
    additionalParameters: { resource: site.resource.resource },
    ...plain,
  });
const refreshed = await oauth.processRefreshTokenResponse(site.server, client, await renew(granted.refresh_token));
check(refreshed.refresh_token !== granted.refresh_token, 'the refresh token did not rotate');
check(refreshed.access_token !== granted.access_token, 'the access token is the old one');
await use(site, refreshed.access_token);

const goodbye = await oauth.revocationRequest(site.server, client, authentication, refreshed.refresh_token, plain);
await oauth.processRevocationResponse(goodbye);
await challenged(refreshed.access_token, 'invalid_token');
if (method !== 'none') await introspect(site, { client, authentication }, refreshed.access_token, false);
const late = await failure(async () =>
  oauth.processRefreshTokenResponse(site.server, client, await renew(refreshed.refresh_token)),
);
check(late instanceof oauth.ResponseBodyError && late.error === 'invalid_grant', `refresh: ${late.stack}`);
tell('refused');
process.exit(0);
