// The official TypeScript client of MCP, for tests/clients.rs: `@modelcontextprotocol/sdk` from the directory in
// MCP_CLIENT_DIR.
//
// `node typescript_client.mjs URL`: from this URL alone it finds the authorization server, registers, logs in, and
// calls the tools. Then it gets more scope, and tries tokens that must be rejected. It fails if an answer is not as
// expected.

import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

import { logIn } from './browser.mjs';

const sdk = (file) =>
  import(pathToFileURL(`${process.env.MCP_CLIENT_DIR}/node_modules/@modelcontextprotocol/sdk/dist/esm/${file}`));
const { Client } = await sdk('client/index.js');
const { StreamableHTTPClientTransport } = await sdk('client/streamableHttp.js');
const { UnauthorizedError, exchangeAuthorization, startAuthorization } = await sdk('client/auth.js');

const url = process.argv[2];
const document = new URL(`/.well-known/oauth-protected-resource${new URL(url).pathname}`, url).href;
const redirectUrl = 'http://127.0.0.1/callback';
const BASIC = 'orders:read';
const BOTH = 'orders:read orders:write';

/** What an application stores for the SDK. */
const stored = {};
const provider = {
  redirectUrl,
  clientMetadata: {
    client_name: 'a test',
    redirect_uris: [redirectUrl],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    application_type: 'native',
  },
  clientInformation: () => stored.client,
  saveClientInformation: (client) => { stored.client = client; },
  tokens: () => stored.tokens,
  saveTokens: (tokens) => { stored.tokens = tokens; },
  codeVerifier: () => stored.verifier,
  saveCodeVerifier: (verifier) => { stored.verifier = verifier; },
  discoveryState: () => stored.discovery,
  saveDiscoveryState: (discovery) => { stored.discovery = discovery; },
  redirectToAuthorization: (authorization) => { stored.authorization = authorization; },
};

/** Every request of the SDK, with its response. */
const log = [];
const recorded = async (input, init) => {
  const response = await fetch(input, init);
  log.push({ url: String(input?.url ?? input), method: init?.method ?? 'GET', status: response.status, response });
  return response;
};

const claims = (tokens) => JSON.parse(Buffer.from(tokens.access_token.split('.')[1], 'base64url'));
const challenge = (response) => response.headers.get('www-authenticate');
const structured = (result) => {
  assert.ok(!result.isError, JSON.stringify(result));
  return result.structuredContent;
};

/** The user logs in where the SDK sends them, and the SDK gets the token. */
const authorize = async (transport, scope) => {
  const query = stored.authorization.searchParams;
  assert.equal(query.get('code_challenge_method'), 'S256');
  assert.equal(query.get('resource'), url);
  assert.equal(query.get('scope'), scope);
  const callback = new URL(await logIn(stored.authorization, redirectUrl));
  await transport.finishAuth(callback.searchParams.get('code'));
  assert.equal(claims(stored.tokens).aud, url);
  assert.equal(claims(stored.tokens).scope, scope);
};

const connect = async (transport) => {
  const client = new Client({ name: 'a test', version: '0' });
  await client.connect(transport);
  return client;
};
const newTransport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider, fetch: recorded });

// From the URL alone to a token for exactly this resource.
const first = newTransport();
await assert.rejects(connect(first), UnauthorizedError);
assert.equal(log[0].status, 401);
assert.match(challenge(log[0].response), new RegExp(`^Bearer .*scope="${BASIC}", resource_metadata="${document}"$`));
assert.equal(log[1].url, document);
assert.equal(log[1].status, 200);
const { registration_endpoint: registration } = stored.discovery.authorizationServerMetadata;
assert.ok(log.some((entry) => entry.url === registration && entry.method === 'POST' && entry.status === 201));
await authorize(first, BASIC);

// The tools.
const transport = newTransport();
const client = await connect(transport);
const { tools } = await client.listTools();
assert.deepEqual(tools.map((tool) => tool.name).sort(), ['cancel_order', 'list_orders', 'whoami']);
assert.deepEqual(structured(await client.callTool({ name: 'whoami' })), { user: 'ada', scopes: [BASIC] });
assert.deepEqual(structured(await client.callTool({ name: 'list_orders' })).user, 'ada');

// One needs more scope: 403, the user consents, and the same call succeeds.
const cancel = () => client.callTool({ name: 'cancel_order', arguments: { order: 7 } });
log.length = 0;
await assert.rejects(cancel(), UnauthorizedError);
assert.equal(log[0].status, 403);
assert.match(
  challenge(log[0].response),
  new RegExp(`^Bearer .*error="insufficient_scope", scope="${BOTH}", resource_metadata="${document}"$`),
);
const [basic] = [stored.tokens];
await authorize(transport, BOTH);
assert.deepEqual(structured(await cancel()), { user: 'ada', cancelled: 7 });
assert.deepEqual(structured(await client.callTool({ name: 'list_orders' })).user, 'ada');
await client.close();

// Tokens that must be rejected.
const call = (headers, query = '') => fetch(`${url}${query}`, {
  method: 'POST',
  headers: { accept: 'application/json, text/event-stream', 'content-type': 'application/json', ...headers },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami', arguments: {} } }),
});
const bearer = (tokens) => ({ authorization: `Bearer ${tokens.access_token}` });
assert.equal((await call(bearer(basic))).status, 200);

const other = `${url}/other`;
const options = {
  metadata: stored.discovery.authorizationServerMetadata,
  clientInformation: stored.client,
  resource: other,
};
const server = stored.discovery.authorizationServerUrl;
const { authorizationUrl, codeVerifier } =
  await startAuthorization(server, { ...options, redirectUrl, scope: BASIC });
const callback = new URL(await logIn(authorizationUrl, redirectUrl));
const foreign = await exchangeAuthorization(server, {
  ...options,
  authorizationCode: callback.searchParams.get('code'),
  codeVerifier,
  redirectUri: redirectUrl,
});
assert.equal(claims(foreign).aud, other);
const rejected = await call(bearer(foreign));
assert.equal(rejected.status, 401);
assert.match(challenge(rejected), new RegExp(`error="invalid_token".*resource_metadata="${document}"`));

assert.equal((await call({}, `?access_token=${basic.access_token}`)).status, 401);
console.log('every call was answered as expected');
