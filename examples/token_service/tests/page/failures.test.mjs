// Lost answers, answers of another shape, and removals that are still pending when the session ends.

import assert from 'node:assert/strict';
import test from 'node:test';

import { loaded, logIn, withPage } from './harness.mjs';
import { fakeApi, SESSIONS, TOKENS } from './fake_api.mjs';

const ada = { email: 'ada@example.org', password: 'a password' };
const alerts = (page) => page.getByRole('alert').filter({ hasText: /./, visible: true });
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const names = (page) => page.locator('#tokens tbody .name').allTextContents();
const held = () => {
  let release;
  const promise = new Promise((resolve) => {
    release = resolve;
  });
  return { promise, release };
};
/** An answer with this status and JSON. */
const answer =
  (status, json = {}) =>
  async (_, __, route) =>
    void (await route.fulfill({ status, json }));
const html = (status) => async (_, __, route) =>
  void (await route.fulfill({ status, contentType: 'text/html', body: '<h1>Hello</h1>' }));
const abort = async (_, __, route) => void (await route.abort());

/** Logs in at a fake API. `calls` are the names of its calls in their order. */
const withApi = (answers, run, { hash = '', ...api } = {}) =>
  withPage(
    async (page) => {
      const calls = [];
      page.on('request', (request) => calls.push(`${request.method()} ${new URL(request.url()).pathname}`));
      await fakeApi(page, { answers, ...api });
      await logIn(page, ada);
      await loaded(page);
      await run(page, calls);
    },
    { hash, expected: /Failed to load resource/ },
  );

const revoke = async (page, name = 'CI deploys') => {
  await press(page, `Revoke ${name}`);
  await press(page, 'Revoke token');
  await page.getByRole('alertdialog').waitFor({ state: 'hidden' });
};

test('a log-out waits for a pending revocation', () => {
  const { promise, release } = held();
  return withApi({ 'DELETE private_tokens/': () => promise.then(() => null) }, async (page, calls) => {
    await revoke(page);
    await press(page, 'Log out');
    await page.getByRole('status').getByText('The page waits for a revocation').waitFor();
    await press(page, 'Log out');
    assert.deepEqual(calls.slice(-1), ['DELETE /api/v1/auth/private_tokens/1/']);
    const [request] = await Promise.all([page.waitForEvent('requestfinished'), release()]);
    assert.equal(request.method(), 'DELETE');
    await page.getByRole('status').getByText('You are logged out.').waitFor();
    assert.equal(calls.filter((call) => call.endsWith('/logout/')).length, 1);
    assert.equal(await alerts(page).count(), 0);
  });
});

test('a revocation that fails before the log-out is not silent', () => {
  const { promise, release } = held();
  const failing = async (...call) => {
    await promise;
    await answer(503)(...call);
  };
  return withApi({ 'DELETE private_tokens/': failing }, async (page) => {
    await revoke(page);
    await revoke(page, 'Grafana');
    await press(page, 'Log out');
    release();
    await page.getByRole('button', { name: 'Log in', exact: true }).waitFor();
    for (const name of ['CI deploys', 'Grafana']) {
      await alerts(page).getByText(`${name} is not revoked. The service is not available at the moment.`).waitFor();
    }
  });
});

test('a revocation that fails with the end of the session is not silent', () => {
  const { promise, release } = held();
  const rejected = answer(401, { code: 'token_not_valid' });
  const answers = {
    'POST refresh/': rejected,
    'DELETE private_tokens/': rejected,
    'DELETE sessions/': async (...call) => {
      await promise;
      await rejected(...call);
    },
  };
  return withApi(answers, async (page) => {
    await page.getByRole('link', { name: 'Sessions' }).click();
    await press(page, 'End session Safari on iPhone');
    await page.getByRole('link', { name: 'Private tokens' }).click();
    await revoke(page);
    await alerts(page).getByText('Your session has ended. Log in again.').waitFor();
    await alerts(page).getByText('CI deploys is not revoked.').waitFor();
    // This call was pending when the session ended.
    release();
    await alerts(page).getByText('The session Safari on iPhone has not ended.').waitFor();
  });
});

test('leaving the page asks while a revocation is pending', () => {
  const { promise, release } = held();
  return withApi({ 'DELETE private_tokens/': () => promise.then(() => null) }, async (page) => {
    await revoke(page);
    const [question] = await Promise.all([page.waitForEvent('dialog'), page.close({ runBeforeUnload: true })]);
    assert.equal(question.type(), 'beforeunload');
    await question.dismiss();
    release();
    await page.getByText('CI deploys is revoked.').waitFor();
    page.on('dialog', () => assert.fail('The page asks without a reason.'));
    await page.reload();
  });
});

test('a log-out everywhere waits for a pending end of a session', () => {
  const { promise, release } = held();
  return withApi(
    { 'DELETE sessions/': () => promise.then(() => null) },
    async (page, calls) => {
      await press(page, 'End session Safari on iPhone');
      await press(page, 'Log out everywhere');
      await page.getByRole('alertdialog').getByRole('button', { name: 'Log out everywhere' }).click();
      await page.getByText('The page waits for a revocation').waitFor({ state: 'attached' });
      assert.ok(!calls.some((call) => call.endsWith('/revoke_all/')));
      release();
      await page.getByRole('status').getByText('You are logged out everywhere.').waitFor();
      assert.ok(calls.some((call) => call.endsWith('/revoke_all/')));
      assert.equal(await alerts(page).count(), 0);
    },
    { hash: '#sessions', sessions: SESSIONS },
  );
});

test('a 404 that is not from the API is not a revocation', () =>
  withApi({ 'DELETE private_tokens/': html(404) }, async (page) => {
    await revoke(page);
    await alerts(page).getByText('CI deploys is not revoked. The service answered with an error (404).').waitFor();
    assert.ok((await names(page)).includes('CI deploys'));
  }));

test('a row that the service still has comes back', () => {
  const tokens = TOKENS.slice(0, 2);
  let lists = 0;
  const counted = {
    'GET private_tokens/': () => {
      lists += 1;
      return { count: 2, results: tokens };
    },
    'DELETE private_tokens/': answer(404, { detail: 'Not found.' }),
  };
  return withApi(counted, async (page) => {
    await revoke(page);
    await page.getByText('CI deploys is revoked.').waitFor();
    // The list is loaded again, and still has the row.
    await page.getByRole('cell', { name: 'CI deploys', exact: true }).waitFor();
    assert.deepEqual([lists, await alerts(page).count()], [2, 0]);
  });
});

test('an answer of another shape is an error', async () => {
  const text = 'The service gave an answer that this page does not understand.';
  for (const login of [html(200), answer(200, { access_token: 'a.b.c' }), answer(200, []), () => null]) {
    await withPage(async (page) => {
      await fakeApi(page, { answers: { 'POST login/': login } });
      await page.getByLabel('E-mail').fill(ada.email);
      await press(page, 'Log in');
      await alerts(page).getByText(text).waitFor();
    });
  }
  const rows = [{ ...TOKENS[0], expiration_time: 'soon' }];
  for (const list of [html(200), answer(200, { results: [] }), answer(200, { count: 1, results: rows }), () => null]) {
    await withApi({ 'GET private_tokens/': list }, async (page) => {
      await alerts(page).getByText(text).waitFor();
      assert.equal(await page.locator('.skeleton').count(), 0);
    });
  }
});

test('a lost answer to a new token says that it may exist', async () => {
  for (const lost of [abort, html(200), answer(201, { id: 9 }), html(502)]) {
    const tokens = TOKENS.slice(1, 2);
    const create = async (...call) => {
      tokens.unshift({ ...TOKENS[0], name: 'ci' });
      await lost(...call);
    };
    await withApi(
      { 'POST private_tokens/': create },
      async (page) => {
        await press(page, 'New token');
        await page.getByLabel('Name').fill('ci');
        await press(page, 'Create token');
        const text = 'The token may have been created. Check the list and revoke it.';
        await alerts(page).getByText(text).waitFor();
        await page.keyboard.press('Escape');
        await press(page, 'Revoke ci');
      },
      { tokens },
    );
  }
});

test('a lost answer to a rotation says that the old token may have ended', () =>
  withApi({ 'POST private_tokens/rotate/': abort }, async (page, calls) => {
    const lists = () => calls.filter((call) => call.startsWith('GET /api/v1/auth/private_tokens/')).length;
    assert.equal(lists(), 1);
    await press(page, 'Rotate CI deploys');
    await page.getByLabel('7 days').check();
    await press(page, 'Rotate token');
    await alerts(page).getByText('The old token may have ended.').waitFor();
    await loaded(page);
    assert.equal(lists(), 2);
  }));

test('a new token that the service did not create is only an error', () =>
  withApi({ 'POST private_tokens/': answer(503) }, async (page) => {
    await press(page, 'New token');
    await press(page, 'Create token');
    await alerts(page).getByText('The service is not available at the moment.').waitFor();
    assert.equal(await page.getByText('may have been created').count(), 0);
  }));

test('the log-out leaves no names and scopes in the document', () =>
  withApi({}, async (page) => {
    await press(page, 'Rotate Backup script on db-3');
    await page.getByLabel('7 days').check();
    await press(page, 'Rotate token');
    await page.getByLabel('Your new token').waitFor();
    await press(page, 'Done');
    await press(page, 'Close without copying');
    await press(page, 'Revoke Grafana');
    await press(page, 'Cancel');
    await page.getByLabel('Search tokens').fill('secret project');
    await page.getByText('No token has “secret project” in its name').waitFor();
    await press(page, 'Log out');
    await page.getByRole('status').getByText('You are logged out.').waitFor();
    const rest = await page.evaluate(() => [
      document.body.innerText,
      document.querySelector('main').outerHTML,
      ...[...document.querySelectorAll('dialog')].map(({ outerHTML }) => outerHTML),
      ...[...document.querySelectorAll('input')].map(({ value }) => value),
    ]);
    for (const word of ['Backup', 'Grafana', 'rotated', 'orders:read', 'secret project', ' of 5', ada.email]) {
      assert.ok(!rest.join(' ').includes(word), word);
    }
  }));
