// An authorization server on loopback, for tests/clients.rs: `oidc-provider` from the directory in OIDC_PROVIDER_DIR.
//
// Prints its issuer when it listens, and ends with its standard input. Clients register themselves, must use PKCE, and
// get a JWT for the resource that they name. Users log in with any name and password.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

// It warns that it keeps everything in memory and has pages for development, which is what a test wants.
console.info = console.warn = () => {};

const entry = `${process.env.OIDC_PROVIDER_DIR}/node_modules/oidc-provider/lib/index.js`;
const { default: Provider } = await import(pathToFileURL(entry));

let handle;
const server = createServer((request, response) => handle(request, response));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://localhost:${server.address().port}`;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  features: {
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'orders:read orders:write',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  // Clients may register for refresh tokens. They do not get any, so a step-up always asks the user.
  issueRefreshToken: () => false,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'one' }] },
  pkce: { required: () => true },
  // Clients register with the scopes that they ask for first. This server would then hold them to these among its own
  // scopes, so those of a step-up are scopes of the resource alone.
  scopes: ['openid', 'orders:read'],
});
handle = provider.callback();

process.stdin.on('end', () => process.exit()).resume();
console.log(issuer);
