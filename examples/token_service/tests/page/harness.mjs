// What all tests of the page need.
//
// PAGE_URL: the page of a running service. PAGE_PASSWORD: the password of its accounts user0, user1, ...

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { launch, STEADY } from './browser.mjs';

export { loaded, logIn } from './browser.mjs';

export const { PAGE_URL, PAGE_PASSWORD } = process.env;
const API = new URL('/api/v1/auth/', PAGE_URL);

/** The account of a test. Each test has its own. */
export const user = (number) => ({ email: `user${number}@example.org`, password: PAGE_PASSWORD });

const browser = await launch();
after(() => browser.close());

/**
 * Runs `run` with a new page that shows the log-in. Then nothing may be in the console, no script may have failed, and
 * the policy of the page may not have been violated. `expected` matches lines of the console that Chromium itself
 * writes about answers such as 401.
 */
export const withPage = async (run, { prepare, hash = '', expected = /$^/, ...options } = {}) => {
  const context = await browser.newContext({ ...STEADY, ...options });
  context.setDefaultTimeout(15_000);
  try {
    const page = await context.newPage();
    const problems = await watch(page);
    await prepare?.(page, context);
    await page.goto(PAGE_URL + hash);
    await page.getByRole('button', { name: 'Log in', exact: true }).waitFor();
    await run(page, context);
    const others = (await problems()).filter((line) => !expected.test(line));
    assert.deepEqual(others, []);
  } finally {
    await context.close();
  }
};

/** Serves the page with this change, for settings and texts that the running service does not have. */
export const changeHtml = (page, from, to) =>
  page.route(PAGE_URL, async (route) => {
    const response = await route.fetch();
    const text = await response.text();
    assert.match(text, from);
    await route.fulfill({ response, body: text.replace(from, to) });
  });

/** Collects what a page reports. */
export const watch = async (page) => {
  const lines = [];
  page.on('console', (message) => lines.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => lines.push(`error: ${error}`));
  await page.addInitScript(() => {
    window.violations = [];
    addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  return async () => [...lines, ...(await page.evaluate(() => window.violations)).map((name) => `policy: ${name}`)];
};

/** What Chromium writes about an answer with an error status. */
export const STATUS = /Failed to load resource: the server responded with a status of (4|5)\d\d/;

/** A call of the API without the page. */
export const call = async (method, path, { token, body } = {}) => {
  const headers = { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(new URL(path, API), { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, body: text && JSON.parse(text) };
};

export const apiLogIn = async ({ email, password }) => {
  const { status, body } = await call('POST', 'login/', { body: { username: email, password } });
  assert.equal(status, 200);
  return body;
};

export const create = async (account, names) => {
  const { access_token: token } = await apiLogIn(account);
  const expiration_time = new Date(Date.now() + 30 * 24 * 60 * 60 * 1000).toISOString();
  const created = [];
  for (const name of names) {
    const { status, body } = await call('POST', 'private_tokens/', { token, body: { name, expiration_time } });
    assert.equal(status, 201);
    created.push(body);
  }
  return created;
};

/** Whether the API accepts an access token or a private token. */
export const isAccepted = async (token) => (await call('GET', '/api/v1/me', { token })).status === 200;
