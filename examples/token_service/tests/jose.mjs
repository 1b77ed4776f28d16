// A service in JavaScript that trusts token_service, for tests/discovery.rs: `jose` from the directory in JOSE_DIR.
//
// `node jose.mjs ISSUER AUDIENCE`, with a token in each line of standard input: prints the subject of a valid token, and
// the code of the error for any other.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const entry = pathToFileURL(`${process.env.JOSE_DIR}/node_modules/jose/dist/webapi/index.js`);
const { createRemoteJWKSet, jwtVerify } = await import(entry);

const [issuer, audience] = process.argv.slice(2);
// RFC 8414 section 3.1: the well-known path is inserted before the path of the issuer.
const { origin, pathname } = new URL(issuer);
const path = pathname === '/' ? '' : pathname;
const response = await fetch(`${origin}/.well-known/oauth-authorization-server${path}`);
const metadata = await response.json();
if (metadata.issuer !== issuer) throw new Error(`the metadata are those of ${metadata.issuer}`);

const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
for (const token of readFileSync(0, 'utf8').trim().split('\n')) {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' });
    console.log(payload.sub);
  } catch (error) {
    console.log(error.code ?? error);
  }
}
