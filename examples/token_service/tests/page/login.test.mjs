// Log-in, the life of the tokens in the page, log-out.

import assert from 'node:assert/strict';
import test from 'node:test';

import {
  call,
  create,
  isAccepted,
  loaded,
  logIn,
  PAGE_PASSWORD,
  PAGE_URL,
  STATUS,
  user,
  watch,
  withPage,
} from './harness.mjs';
import { fakeApi } from './fake_api.mjs';

const ada = { email: 'ada@example.org', password: 'a password' };
const logInButton = (page) => page.getByRole('button', { name: 'Log in', exact: true });
const alerts = (page) => page.getByRole('alert').filter({ hasText: /./, visible: true });

/** The tokens of the next log-in or refresh of the page. */
const tokensOf = async (page, action, path = 'login/') => {
  const [response] = await Promise.all([page.waitForResponse(`**/${path}`), action()]);
  return response.json();
};

test('a user logs in with e-mail and password', () =>
  withPage(async (page) => {
    assert.equal(await page.evaluate(() => document.activeElement.id), 'email');
    await logIn(page, user(1));
    await page.getByRole('heading', { name: 'Private tokens', level: 1 }).waitFor();
    await page.getByText('user1@example.org').waitFor();
  }));

test('a wrong password is an alert', () =>
  withPage(
    async (page) => {
      await page.getByLabel('E-mail').fill(user(2).email);
      await page.getByLabel('Password', { exact: true }).fill('a wrong password');
      await logInButton(page).click();
      await alerts(page).getByText('The e-mail address or the password is wrong.').waitFor();
      assert.equal(await page.getByLabel('Password', { exact: true }).inputValue(), '');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'login-password');
      await logIn(page, user(2));
    },
    { expected: STATUS },
  ));

test('blank fields of the log-in are marked', () =>
  withPage(
    async (page) => {
      await logInButton(page).click();
      for (const label of ['E-mail', 'Password']) {
        const field = page.getByLabel(label, { exact: true });
        await field.and(page.locator('[aria-invalid=true]')).waitFor();
        const error = await field.getAttribute('aria-describedby');
        assert.equal(await page.locator(`#${error}`).textContent(), 'This field may not be blank.');
      }
      await logIn(page, user(3));
    },
    { expected: STATUS },
  ));

test('a throttled log-in shows when to try again', () =>
  withPage(
    async (page) => {
      await page.clock.setFixedTime('2026-11-27T12:00:00Z');
      await page.route('**/login/', (route) =>
        route.fulfill({
          status: 429,
          headers: { 'Retry-After': '120' },
          json: { detail: 'Request was throttled.' },
        }),
      );
      await page.getByLabel('E-mail').fill('a');
      await page.getByLabel('Password', { exact: true }).fill('b');
      await logInButton(page).click();
      const text = await alerts(page).textContent();
      assert.match(text, /^Too many requests\. Try again in 2 minutes, at 1:02:00\sPM\.$/);
    },
    { expected: STATUS },
  ));

test('no token is in storage, URL, history, document or console', () =>
  withPage(async (page, context) => {
    const { access_token: access, refresh_token: refresh } = await tokensOf(page, () => logIn(page, user(4)));
    await loaded(page);
    const kept = await page.evaluate(async () =>
      JSON.stringify([
        { ...localStorage },
        { ...sessionStorage },
        document.cookie,
        await indexedDB.databases(),
        await caches.keys(),
        history.state,
        location.href,
        window.name,
        document.title,
        document.documentElement.outerHTML,
        [...document.querySelectorAll('input')].map(({ value }) => value),
      ]),
    );
    assert.match(kept, /^\[\{\},\{\},"",\[\],\[\],null,/);
    const state = JSON.stringify([await context.storageState(), context.pages().map((other) => other.url())]);
    for (const secret of [access, refresh, PAGE_PASSWORD]) {
      assert.ok(secret.length > 8 && !kept.includes(secret) && !state.includes(secret));
    }
  }));

test('no token or password is in the URL of a request', () =>
  withPage(async (page) => {
    const urls = [];
    page.on('request', (request) => urls.push(request.url()));
    const { access_token: access, refresh_token: refresh } = await tokensOf(page, () => logIn(page, user(5)));
    await loaded(page);
    await Promise.all([
      page.waitForResponse('**/logout/'),
      page.getByRole('button', { name: 'Log out', exact: true }).click(),
    ]);
    assert.ok(urls.length >= 3);
    const words = [access, refresh, encodeURIComponent(PAGE_PASSWORD), 'password='];
    for (const url of urls) for (const word of words) assert.ok(!url.includes(word), url);
  }));

test('a reload asks for the password again', () =>
  withPage(async (page) => {
    await logIn(page, user(6));
    await page.reload();
    await logInButton(page).waitFor();
    assert.equal(await page.getByLabel('Password', { exact: true }).inputValue(), '');
    assert.equal(await page.getByRole('button', { name: 'Log out', exact: true }).isVisible(), false);
  }));

test('access tokens are refreshed silently, once for calls at the same time', () =>
  withPage(
    async (page) => {
      let refreshes = 0;
      page.on('request', (request) => {
        refreshes += request.url().endsWith('/refresh/') ? 1 : 0;
      });
      await create(user(7), ['a token']);
      const first = await tokensOf(page, () => logIn(page, user(7)));
      await loaded(page);
      await page.clock.fastForward('00:59:30');
      let release;
      const held = new Promise((resolve) => {
        release = resolve;
      });
      await page.route('**/refresh/', async (route) => {
        await held;
        await route.continue();
      });
      // Two calls wait for the refresh: the list of tokens, and that of sessions.
      await page.getByRole('button', { name: 'Name' }).click();
      const next = await tokensOf(
        page,
        async () => {
          await page.getByRole('link', { name: 'Sessions' }).click();
          release();
        },
        'refresh/',
      );
      await page.getByText('This session').waitFor();
      assert.equal(refreshes, 1);
      assert.notEqual(next.access_token, first.access_token);
      assert.ok(await isAccepted(next.access_token));
      // The page uses the new refresh token the next time.
      await page.clock.fastForward('01:00:00');
      await page.getByRole('link', { name: 'Private tokens' }).click();
      await page.getByText('a token').waitFor();
      assert.equal(refreshes, 2);
    },
    { prepare: (page) => page.clock.install() },
  ));

test('a call with a rejected access token is repeated after a refresh', () =>
  withPage(
    async (page) => {
      const calls = [];
      let rejections = 1;
      await fakeApi(page, {
        answers: {
          'GET private_tokens/': async (_, __, route) => {
            calls.push('list');
            if (rejections-- > 0) return void (await route.fulfill({ status: 401, json: { code: 'token_not_valid' } }));
            return { count: 0, results: [] };
          },
          'POST refresh/': () => {
            calls.push('refresh');
            return { access_token: 'e30.eyJpYXQiOjEsImV4cCI6MzYwMX0.', refresh_token: 'next' };
          },
        },
      });
      await logIn(page, ada);
      await page.getByText('No private tokens yet').waitFor();
      assert.deepEqual(calls, ['list', 'refresh', 'list']);
    },
    { expected: STATUS },
  ));

test('a reused refresh token leads back to the log-in', () =>
  withPage(
    async (page) => {
      const { refresh_token } = await tokensOf(page, () => logIn(page, user(8)));
      await loaded(page);
      // Somebody else uses it first. Then the page presents it again, and the service ends the session.
      const { status, body } = await call('POST', 'refresh/', { body: { refresh_token } });
      assert.equal(status, 200);
      await page.clock.fastForward('01:00:00');
      await page.getByRole('link', { name: 'Sessions' }).click();
      await alerts(page).getByText('Your session has ended. Log in again.').waitFor();
      assert.equal(await page.getByLabel('E-mail').inputValue(), user(8).email);
      assert.equal(await isAccepted(body.access_token), false);
      await logIn(page, user(8));
    },
    { expected: STATUS, prepare: (page) => page.clock.install() },
  ));

test('an expired refresh token leads back to the log-in', () =>
  withPage(
    async (page) => {
      await fakeApi(page, {
        answers: {
          'POST refresh/': async (_, __, route) =>
            void (await route.fulfill({ status: 401, json: { code: 'token_not_valid' } })),
        },
      });
      await logIn(page, ada);
      await page.getByRole('button', { name: 'New token' }).click();
      await page.getByLabel('Name').fill('secret project');
      await page.clock.fastForward('25:00:00');
      await page.getByRole('button', { name: 'Create token' }).click();
      await alerts(page).getByText('Your session has ended. Log in again.').waitFor();
      assert.equal(await page.locator('dialog[open]').count(), 0);
      const rest = await page.evaluate(() => [
        document.querySelector('tbody').childElementCount,
        document.querySelector('#name').value,
      ]);
      assert.deepEqual(rest, [0, '']);
    },
    { expected: STATUS, prepare: (page) => page.clock.install() },
  ));

test('the log-out revokes the session and forgets the tokens', () =>
  withPage(async (page) => {
    const { access_token: access, refresh_token } = await tokensOf(page, () => logIn(page, user(9)));
    assert.ok(await isAccepted(access));
    await Promise.all([
      page.waitForResponse('**/logout/'),
      page.getByRole('button', { name: 'Log out', exact: true }).click(),
    ]);
    await page.getByRole('status').getByText('You are logged out.').waitFor();
    assert.equal(await isAccepted(access), false);
    assert.equal((await call('POST', 'refresh/', { body: { refresh_token } })).status, 401);
  }));

test('a log-out that fails says that the session may still exist', () =>
  withPage(
    async (page) => {
      await page.route('**/logout/', (route) => route.fulfill({ status: 503, json: {} }));
      await logIn(page, user(10));
      await page.getByRole('button', { name: 'Log out', exact: true }).click();
      await alerts(page).getByText('the service did not confirm the log-out').waitFor();
      await logInButton(page).waitFor();
    },
    { expected: STATUS },
  ));

test('an answer that arrives after the log-out is dropped', () =>
  withPage(async (page) => {
    let release;
    const held = new Promise((resolve) => {
      release = resolve;
    });
    let answered;
    const done = new Promise((resolve) => {
      answered = resolve;
    });
    await fakeApi(page, {
      answers: {
        'GET private_tokens/': async (_, __, route) => {
          await held;
          await route.fulfill({ json: { count: 1, results: [{ id: 1, name: 'late' }] } }).catch(() => {});
          answered();
        },
      },
    });
    await logIn(page, ada);
    await page.getByRole('button', { name: 'Log out', exact: true }).click();
    release();
    await done;
    await logInButton(page).waitFor();
    assert.equal(await page.getByText('late').count(), 0);
    assert.equal(await alerts(page).count(), 0);
  }));

test('two tabs have separate sessions', () =>
  withPage(async (page, context) => {
    await create(user(11), ['shared']);
    const other = await context.newPage();
    const problems = await watch(other);
    await other.goto(PAGE_URL);
    await logIn(page, user(11));
    await logIn(other, user(11));
    await other.getByText('shared').waitFor();
    await page.getByRole('button', { name: 'Log out', exact: true }).click();
    await logInButton(page).waitFor();
    await other.getByRole('button', { name: 'Revoke shared' }).click();
    await other.getByRole('button', { name: 'Revoke token' }).click();
    await other.getByText('No private tokens yet').waitFor();
    assert.deepEqual(await problems(), []);
  }));

test('a form is never submitted twice at once', () =>
  withPage(async (page) => {
    let logIns = 0;
    let release;
    const held = new Promise((resolve) => {
      release = resolve;
    });
    await page.route('**/login/', async (route) => {
      logIns += 1;
      await held;
      await route.continue();
    });
    await page.getByLabel('E-mail').fill(user(12).email);
    await page.getByLabel('Password', { exact: true }).fill(PAGE_PASSWORD);
    for (let count = 0; count < 3; count += 1) await page.keyboard.press('Enter');
    await logInButton(page).click({ force: true });
    assert.equal(await logInButton(page).getAttribute('aria-disabled'), 'true');
    release();
    await page.getByRole('button', { name: 'Log out', exact: true }).waitFor();
    assert.equal(logIns, 1);
  }));
