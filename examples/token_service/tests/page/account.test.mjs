// Sessions, log-out everywhere, change of the password.

import assert from 'node:assert/strict';
import test from 'node:test';

import { apiLogIn, call, create, isAccepted, loaded, logIn, PAGE_URL, STATUS, user, withPage } from './harness.mjs';

test('sessions are listed and can be ended', () =>
  withPage(async (page) => {
    const { access_token: other } = await apiLogIn(user(29));
    await logIn(page, user(29));
    await page.getByRole('link', { name: 'Sessions' }).click();
    const table = page.getByRole('table', { name: 'Sessions' });
    await table.getByText('This session').waitFor();
    assert.equal(await page.title(), 'Sessions · Private tokens');
    const rows = await table.locator('tbody tr').allTextContents();
    assert.equal(rows.length, 2);
    assert.ok(
      rows.some((row) => /^Chrome on Linux.*This session$/.test(row)),
      String(rows),
    );
    // The name of the client that Node.js sends.
    await table.getByRole('button', { name: 'End session node' }).click();
    await page.getByRole('status').getByText('The session node has ended.').waitFor();
    assert.equal(await isAccepted(other), false);
    assert.equal(await table.locator('tbody tr').count(), 1);
  }));

test('a log-out everywhere ends every session and every token', () =>
  withPage(async (page, context) => {
    const [token] = await create(user(30), ['job']);
    const tab = await context.newPage();
    await tab.goto(PAGE_URL);
    await logIn(tab, user(30));
    await loaded(tab);
    await logIn(page, user(30));
    await page.getByRole('link', { name: 'Sessions' }).click();
    await page.getByRole('button', { name: 'Log out everywhere' }).click();
    const question = page.getByRole('alertdialog', { name: 'Log out everywhere?' });
    await question.getByText('All sessions and all private tokens').waitFor();
    await question.getByRole('button', { name: 'Cancel' }).click();
    assert.ok(await isAccepted(token.data));
    await page.getByRole('button', { name: 'Log out everywhere' }).click();
    await question.getByRole('button', { name: 'Log out everywhere' }).click();
    await page.getByRole('status').getByText('You are logged out everywhere.').waitFor();
    assert.equal(await isAccepted(token.data), false);
    // The other tab learns it with its next call.
    await tab.getByRole('button', { name: 'Name' }).click();
    await tab.getByRole('alert').getByText('Your session has ended.').waitFor();
  }));

test('a failed log-out everywhere is shown in its dialog', () =>
  withPage(
    async (page) => {
      await page.route('**/revoke_all/', (route) => route.fulfill({ status: 503, json: {} }));
      await logIn(page, user(31));
      await page.getByRole('link', { name: 'Sessions' }).click();
      await page.getByRole('button', { name: 'Log out everywhere' }).click();
      const question = page.getByRole('alertdialog', { name: 'Log out everywhere?' });
      await question.getByRole('button', { name: 'Log out everywhere' }).click();
      await question.getByRole('alert').getByText('The service is not available at the moment.').waitFor();
    },
    { expected: STATUS },
  ));

test('the password can be changed', () =>
  withPage(
    async (page) => {
      const account = user(32);
      const changed = { ...account, password: 'another long password' };
      const [token] = await create(account, ['job']);
      await logIn(page, account);
      await page.getByRole('link', { name: 'Password' }).click();
      await page.getByRole('heading', { name: 'Change password' }).waitFor();
      const submit = page.getByRole('button', { name: 'Change password' });
      const enter = async (old, next, repeated = next) => {
        await page.getByLabel('Current password').fill(old);
        await page.getByLabel('New password', { exact: true }).fill(next);
        await page.getByLabel('Repeat new password').fill(repeated);
        await submit.click();
      };
      await enter(account.password, changed.password, 'a typing error');
      await page.locator('#repeated-error').getByText('The two new passwords differ.').waitFor();
      await enter('a wrong password', changed.password);
      await page.locator('#old-password-error').getByText('Invalid password.').waitFor();
      await enter(account.password, 'short');
      await page.locator('#new-password-error').getByText('This password is too short.').waitFor();
      const describedBy = await page.getByLabel('New password', { exact: true }).getAttribute('aria-describedby');
      assert.equal(describedBy, 'new-password-error new-password-hint');
      assert.ok(await isAccepted(token.data));
      await enter(account.password, changed.password);
      await page.getByRole('status').getByText('Your password is changed.').waitFor();
      assert.equal(await isAccepted(token.data), false);
      const left = await page.evaluate(() =>
        [...document.querySelectorAll('input')].map(({ value }) => value).join(''),
      );
      assert.ok(!left.includes(changed.password) && !left.includes(account.password));
      await logIn(page, changed);
      assert.equal(
        (await call('POST', 'login/', { body: { username: account.email, password: account.password } })).status,
        401,
      );
    },
    { expected: STATUS },
  ));
