// A client that makes its proofs with the npm library `dpop`: `dpop_client.mjs URL SECRET ISSUER AUDIENCE`.
//
// It prints one line for each algorithm: the status of a request without a nonce, with one, and of a replay.

import { pathToFileURL } from 'node:url';

const from = (path) => import(pathToFileURL(`${process.env.JOSE_DIR}/node_modules/${path}`));
const DPoP = await from('dpop/build/index.js');
const { SignJWT } = await from('jose/dist/webapi/index.js');

const [url, secret, issuer, audience] = process.argv.slice(2);

const boundToken = (jkt) =>
  new SignJWT({ cnf: { jkt } })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('alice')
    .setIssuer(issuer)
    .setAudience(audience)
    .setExpirationTime('5 minutes')
    .sign(new TextEncoder().encode(secret));

for (const alg of ['ES256', 'Ed25519', 'RS256', 'PS256']) {
  const keypair = await DPoP.generateKeyPair(alg);
  const token = await boundToken(await DPoP.calculateThumbprint(keypair.publicKey));
  const send = (proof) => fetch(url, { headers: { Authorization: `DPoP ${token}`, DPoP: proof } });
  const first = await send(await DPoP.generateProof(keypair, url, 'GET', undefined, token));
  const nonce = first.headers.get('DPoP-Nonce');
  const proof = await DPoP.generateProof(keypair, url, 'GET', nonce, token);
  const second = await send(proof);
  const replay = await send(proof);
  console.log(alg, first.status, second.status, (await second.json()).sub, replay.status);
}
