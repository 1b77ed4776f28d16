// Another implementation of status lists, `@sd-jwt/jwt-status-list`, for process/status_lists.rs.
//
// `status_list.mjs make URL SECRET BITS STATUS...` prints a signed list with these statuses.
// `status_list.mjs read TOKEN LIST` prints the URL in the token, and the status of the token in the list.

import { pathToFileURL } from 'node:url';

const from = (path) => import(pathToFileURL(`${process.env.JOSE_DIR}/node_modules/${path}`));
const { StatusList, createHeaderAndPayload, getListFromStatusListJWT, getStatusListFromJWT } = await from(
  '@sd-jwt/jwt-status-list/dist/index.mjs',
);
const { SignJWT } = await from('jose/dist/webapi/index.js');

const [command, ...rest] = process.argv.slice(2);
if (command === 'make') {
  const [url, secret, bits, ...statuses] = rest;
  const list = new StatusList(statuses.map(Number), Number(bits));
  const claims = { sub: url, iat: Math.floor(Date.now() / 1000), ttl: 300 };
  const { header, payload } = createHeaderAndPayload(list, claims, { alg: 'HS256' });
  const key = new TextEncoder().encode(secret);
  console.log(await new SignJWT(payload).setProtectedHeader(header).sign(key));
} else {
  const [token, list] = rest;
  const { idx, uri } = getStatusListFromJWT(token);
  console.log(`${uri} ${getListFromStatusListJWT(list).getStatus(idx)}`);
}
