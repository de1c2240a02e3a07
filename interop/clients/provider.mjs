// `oidc-provider` (certified OpenID Connect) as a provider with whom people sign in at the server under test. Its pages
// for developers let anybody in under any name.
// usage: provider.mjs PORT REDIRECT-URI CLIENT-ID CLIENT-SECRET
import Provider from 'oidc-provider';

const [port, redirectUri, clientId, clientSecret] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] }],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  findAccount: async (_context, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id,
      email: `${id}@example.org`,
      email_verified: !id.startsWith('unverified'),
      name: `${id} elsewhere`,
      preferred_username: id,
    }),
  }),
});

provider.listen(Number(port), '127.0.0.1', () => console.log(`listening ${issuer}`));
