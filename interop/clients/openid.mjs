// `openid-client` as an application that signs people in: OpenID Connect discovery, registration, the code
// flow with nonce and max_age, an ID token whose signature and every claim the library checks, userinfo.
// usage: openid.mjs ISSUER TOKEN-ENDPOINT-AUTH-METHOD
import * as oidc from 'openid-client';

import { ask, check, tell } from './dialogue.mjs';

const [issuer, method] = process.argv.slice(2);
const REDIRECT = 'http://127.0.0.1:33421/callback';
const MAX_AGE = 600;
// Without a secret given here, the one that was registered.
const AUTHENTICATION = {
  none: oidc.None,
  client_secret_basic: oidc.ClientSecretBasic,
  client_secret_post: oidc.ClientSecretPost,
};

async function failure(attempt) {
  try {
    await attempt();
  } catch (error) {
    return error;
  }
  throw new Error('was let in');
}

const config = await oidc.dynamicClientRegistration(
  new URL(issuer),
  {
    client_name: 'openid-client',
    redirect_uris: [REDIRECT],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: method,
    id_token_signed_response_alg: 'RS256',
  },
  AUTHENTICATION[method](),
  // The server of the tests listens on loopback without TLS; nothing else is relaxed.
  { algorithm: 'oidc', execute: [oidc.allowInsecureRequests] },
);
// By itself the library trusts TLS for an ID token from the token endpoint; this makes it verify the signature.
oidc.enableNonRepudiationChecks(config);
const server = config.serverMetadata();
check(server.supportsPKCE(), 'no PKCE');
check(config.clientMetadata().id_token_signed_response_alg === 'ES256', 'the server did not say how it signs');

async function signIn(more = {}) {
  const verifier = oidc.randomPKCECodeVerifier();
  const expectedState = oidc.randomState();
  const expectedNonce = oidc.randomNonce();
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT,
    scope: 'openid profile email offline_access',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
    max_age: String(MAX_AGE),
    ...more,
  });
  const callback = new URL(await ask('authorize', { url: url.href }));
  const checks = { pkceCodeVerifier: verifier, expectedState, expectedNonce, maxAge: MAX_AGE, idTokenExpected: true };
  return { callback, checks };
}

const { callback, checks } = await signIn();
const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
const claims = tokens.claims();
const info = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
tell('signed in', { claims, info, id_token: tokens.id_token, client_id: config.clientMetadata().client_id });

const mixedUp = await failure(() => oidc.fetchUserInfo(config, tokens.access_token, 'somebody else'));
check(mixedUp.code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED', `subject: ${mixedUp.stack}`);
const turnedRound = await failure(() => oidc.fetchUserInfo(config, tokens.id_token, claims.sub));
check(turnedRound instanceof oidc.WWWAuthenticateChallengeError, `ID token as access token: ${turnedRound.stack}`);

const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token);
const again = renewed.claims();
for (const name of ['iss', 'sub', 'aud', 'auth_time']) check(again[name] === claims[name], `${name} changed`);
check(again.nonce === undefined, 'a nonce after a refresh');
await oidc.fetchUserInfo(config, renewed.access_token, claims.sub);

const second = await signIn({ prompt: 'login', id_token_hint: renewed.id_token });
const injected = await failure(() =>
  oidc.authorizationCodeGrant(config, second.callback, { ...second.checks, expectedNonce: checks.expectedNonce }),
);
check(/nonce/.test(injected.message + injected.cause?.message), `nonce: ${injected.stack}`);
tell('checked');
process.exit(0);
