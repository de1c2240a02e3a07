// `@modelcontextprotocol/client`, as an application uses it: an OAuth provider that keeps
// everything in memory, and a client of one era.
// usage: typescript.mjs MCP-URL REVISION
import { randomBytes } from 'node:crypto';

import {
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from '@modelcontextprotocol/client';

import { ask, check, tell } from './dialogue.mjs';

const [url, revision] = process.argv.slice(2);
const REDIRECT = 'http://127.0.0.1:33418/callback';

class Memory {
  redirectUrl = REDIRECT;
  clientMetadata = {
    client_name: 'TypeScript SDK',
    redirect_uris: [REDIRECT],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    application_type: 'native',
  };
  refreshes = 0;
  asked = [];
  #state;
  #client;
  #tokens;
  #verifier;
  #discovery;

  state() {
    return (this.#state = randomBytes(16).toString('hex'));
  }
  clientInformation() {
    return this.#client;
  }
  saveClientInformation(client) {
    this.#client = client;
  }
  tokens() {
    return this.#tokens;
  }
  saveTokens(tokens) {
    if (this.#tokens) this.refreshes += 1;
    this.#tokens = tokens;
  }
  redirectToAuthorization(address) {
    this.asked.push(address);
  }
  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }
  codeVerifier() {
    return this.#verifier;
  }
  saveDiscoveryState(state) {
    this.#discovery = state;
  }
  discoveryState() {
    return this.#discovery;
  }
  invalidateCredentials(scope) {
    if (scope === 'all' || scope === 'tokens') this.#tokens = undefined;
    if (scope === 'all' || scope === 'client') this.#client = undefined;
    if (scope === 'all' || scope === 'discovery') this.#discovery = undefined;
  }
  answered(address) {
    const parameters = new URL(address).searchParams;
    check(parameters.get('state') === this.#state, `state of ${address}`);
    return parameters;
  }
  spoilAccessToken() {
    this.#tokens = { ...this.#tokens, access_token: 'stale' };
  }
}

const provider = new Memory();
const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
const mode = revision === '2025-11-25' ? 'legacy' : { pin: revision };
const client = () => new Client({ name: 'interop', version: '1' }, { versionNegotiation: { mode } });

async function refused(attempt) {
  try {
    await attempt();
  } catch (error) {
    check(error instanceof UnauthorizedError, `not a plain refusal: ${error.stack}`);
    return;
  }
  throw new Error('was let in');
}

const first = transport();
await refused(() => client().connect(first));
check(provider.asked.length === 1, 'no sign-in was asked for');
const callback = await ask('authorize', { url: provider.asked[0].href });
await first.finishAuth(provider.answered(callback));

const connected = client();
await connected.connect(transport());
tell('connected', { revision: connected.getNegotiatedProtocolVersion() });
tell('whoami', { result: await connected.callTool({ name: 'whoami', arguments: {} }) });

const before = provider.tokens();
provider.spoilAccessToken();
tell('whoami', { result: await connected.callTool({ name: 'whoami', arguments: {} }) });
check(provider.refreshes === 1 && provider.asked.length === 1, 'the token was not refreshed');
check(provider.tokens().refresh_token !== before.refresh_token, 'the refresh token did not rotate');

await ask('revoke', { client_id: provider.clientInformation().client_id, token: provider.tokens().access_token });
await refused(() => connected.callTool({ name: 'whoami', arguments: {} }));
check(provider.asked.length === 2, 'no new sign-in was asked for');
tell('refused');
process.exit(0);
