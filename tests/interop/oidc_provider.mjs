// An OpenID provider on loopback, for tests/keys: `oidc-provider` from the directory in OIDC_PROVIDER_DIR.
//
// Prints its issuer when it listens. A line on standard input changes its keys: `publish` adds a pair that is not used
// yet, `rotate` makes the newest pair the one that signs, `withdraw` drops all others.
//
// The client `service` may bind its tokens with a DPoP proof. Those of the client `certificate` are bound to the
// certificate in the header `client-cert`, as a proxy that ends TLS would send it (RFC 9440).

import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// It warns that it keeps everything in memory, which is what a test wants.
console.info = console.warn = () => {};

const directory = process.env.OIDC_PROVIDER_DIR;
const entry = `${directory}/node_modules/oidc-provider/lib/index.js`;
const { default: Provider } = await import(pathToFileURL(entry));

const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  PS256: ['rsa', { modulusLength: 2048 }],
};
let generation = 0;
const generate = () => {
  generation += 1;
  return Object.entries(kinds).map(([alg, [type, options]]) => {
    const { privateKey } = generateKeyPairSync(type, options);
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-${generation}` };
  });
};

// The provider signs with the first key that fits.
let generations = [generate()];
let handle;
const server = createServer((request, response) => handle(request, response));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://localhost:${server.address().port}`;

const restart = () => {
  const client = (client_id, more) => ({
    client_id,
    client_secret: 'a secret of the tests',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    ...more,
  });
  const provider = new Provider(issuer, {
    clients: [client('service'), client('certificate', { tls_client_certificate_bound_access_tokens: true })],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (context) => {
          const value = context.get('client-cert');
          return value && new X509Certificate(Buffer.from(value.slice(1, -1), 'base64'));
        },
      },
      resourceIndicators: {
        enabled: true,
        // The last part of the resource's name chooses the algorithm.
        getResourceServerInfo: (_, resource) => ({
          scope: 'orders:read',
          audience: 'api://orders',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 3600,
          jwt: { sign: { alg: resource.split('/').pop() } },
        }),
      },
    },
    jwks: { keys: generations.flat() },
  });
  handle = provider.callback();
};
restart();

createInterface({ input: process.stdin })
  .on('line', (line) => {
    if (line === 'publish') generations.push(generate());
    if (line === 'rotate') generations.reverse();
    if (line === 'withdraw') generations = generations.slice(0, 1);
    restart();
    console.log(`done ${line}`);
  })
  .on('close', () => process.exit());
console.log(issuer);
