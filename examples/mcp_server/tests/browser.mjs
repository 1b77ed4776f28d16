// A user with a browser, for tests/clients.rs: logs in, consents, and returns the URL to which the authorization server
// redirects in the end. `node browser.mjs URL` prints it.

import { pathToFileURL } from 'node:url';

const LIMIT = 20;

/** Opens `url` and submits the forms of oidc-provider, until there is a redirect to the client. */
export async function logIn(url, redirectUri) {
  const cookies = new Map();
  let [next, form] = [new URL(url), undefined];
  for (let step = 0; step < LIMIT; step += 1) {
    const response = await fetch(next, {
      method: form ? 'POST' : 'GET',
      body: form,
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      redirect: 'manual',
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      cookies.set(name, value);
    }
    const text = await response.text();
    const location = response.headers.get('location');
    if (location) {
      [next, form] = [new URL(location, next), undefined];
      if (next.href.startsWith(redirectUri)) return next.href;
    } else {
      const action = /<form[^>]* action="([^"]+)"/.exec(text)?.[1];
      if (!response.ok || !action) throw new Error(`${response.status} at ${next}: ${text}`);
      form = new URLSearchParams();
      for (const [, name, value] of text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)) {
        form.set(name, value);
      }
      if (text.includes('name="login"')) form.set('login', 'ada');
      if (text.includes('name="password"')) form.set('password', 'any');
      next = new URL(action, next);
    }
  }
  throw new Error(`no redirect to ${redirectUri} after ${LIMIT} steps`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const url = process.argv[2];
  console.log(await logIn(url, new URL(url).searchParams.get('redirect_uri')));
}
