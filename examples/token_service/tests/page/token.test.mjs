// New tokens, rotation, revocation.

import assert from 'node:assert/strict';
import test from 'node:test';

import { call, changeHtml, create, isAccepted, loaded, logIn, STATUS, user, withPage } from './harness.mjs';
import { fakeApi } from './fake_api.mjs';

const ada = { email: 'ada@example.org', password: 'a password' };
const clipboard = { permissions: ['clipboard-read', 'clipboard-write'] };
const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
const newToken = (page) => page.getByRole('dialog', { name: 'New token' });
const focused = (page) => page.evaluate(() => document.activeElement.id);
const field = (page) => page.getByLabel('Your new token');
const shownToken = async (page) => {
  await field(page).waitFor();
  return field(page).inputValue();
};

/** Opens the dialog, fills it in and creates the token. */
const createInPage = async (page, name = 'ci') => {
  await page.getByRole('button', { name: 'New token' }).click();
  await newToken(page).getByLabel('Name').fill(name);
  await newToken(page).getByLabel('30 days').check();
  await newToken(page).getByRole('button', { name: 'Create token' }).click();
  await field(page).waitFor();
};

test('a new token has the name, expiry and scopes that were chosen', () =>
  withPage(async (page) => {
    await logIn(page, user(16));
    await page.getByRole('button', { name: 'New token' }).click();
    const dialog = newToken(page);
    assert.equal(await focused(page), 'name');
    const choices = await dialog.getByRole('radiogroup', { name: 'Expires' }).getByRole('radio').all();
    const labels = await Promise.all(
      choices.map((choice) => choice.evaluate(({ labels: [label] }) => label.textContent)),
    );
    assert.deepEqual(labels, ['7 days', '30 days', '90 days', '1 year', 'Custom date']);
    for (const choice of choices) assert.equal(await choice.isChecked(), false);
    const scopes = dialog.getByRole('group', { name: 'Scopes' }).getByRole('checkbox');
    assert.equal(await scopes.count(), 3);
    for (const scope of await scopes.all()) assert.equal(await scope.isChecked(), false);
    await dialog.getByLabel('Name').fill('  release pipeline ');
    await dialog.getByLabel('90 days').check();
    await dialog.getByLabel('orders:read').check();
    await dialog.getByRole('button', { name: 'Create token' }).click();
    const token = await shownToken(page);
    assert.equal(await field(page).evaluate((input) => input.readOnly), true);
    const { scope, exp, iat, token_type } = claimsOf(token);
    assert.deepEqual([scope, token_type], ['orders:read', 'private']);
    assert.ok(Math.abs(exp - iat - 90 * 24 * 60 * 60) < 60);
    assert.ok(await isAccepted(token));
    await page.getByText('release pipeline', { exact: true }).first().waitFor({ state: 'attached' });
  }));

test('a custom date ends with that day', () =>
  withPage(async (page) => {
    await logIn(page, user(17));
    await page.getByRole('button', { name: 'New token' }).click();
    await newToken(page).getByLabel('Name').fill('custom');
    assert.equal(await page.locator('#custom-date').isVisible(), false);
    await newToken(page).getByRole('radio', { name: 'Custom date' }).check();
    const date = new Date(Date.now() + 20 * 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
    await page.locator('#custom-date').fill(date);
    await newToken(page).getByRole('button', { name: 'Create token' }).click();
    const { exp } = claimsOf(await shownToken(page));
    const end = new Intl.DateTimeFormat('sv-SE', {
      timeZone: 'Europe/Berlin',
      dateStyle: 'short',
      timeStyle: 'medium',
    });
    assert.equal(end.format(exp * 1000), `${date} 23:59:59`);
  }));

test('a date with a year of five digits is a field error', () =>
  withPage(
    async (page) => {
      await logIn(page, user(34));
      await page.getByRole('button', { name: 'New token' }).click();
      await newToken(page).getByLabel('Name').fill('far');
      await newToken(page).getByRole('radio', { name: 'Custom date' }).check();
      await page.locator('#custom-date').fill('12026-11-27');
      await page.locator('#expiry-hint').getByText('Expires on Friday, November 27, 12026.').waitFor();
      await newToken(page).getByRole('button', { name: 'Create token' }).click();
      await page.locator('#expiration-error').getByText('Datetime has wrong format.').waitFor();
    },
    { expected: STATUS },
  ));

test('a maximum lifetime under one day is a choice', () =>
  withPage(
    async (page) => {
      await logIn(page, user(35));
      await page.getByRole('button', { name: 'New token' }).click();
      const choices = newToken(page).getByRole('radiogroup', { name: 'Expires' }).locator('label:visible');
      assert.deepEqual(await choices.allTextContents(), ['1 hour']);
      await newToken(page).getByLabel('Name').fill('short');
      await newToken(page).getByLabel('1 hour').check();
      await newToken(page).getByRole('button', { name: 'Create token' }).click();
      const { exp, iat } = claimsOf(await shownToken(page));
      assert.ok(exp - iat <= 3600 && exp - iat > 3000, String(exp - iat));
    },
    { prepare: (page) => changeHtml(page, /"max_lifetime":\d+/, '"max_lifetime":3600') },
  ));

test('field errors of the API are next to their fields', () =>
  withPage(
    async (page) => {
      await logIn(page, user(18));
      await page.getByRole('button', { name: 'New token' }).click();
      const dialog = newToken(page);
      await dialog.getByRole('button', { name: 'Create token' }).click();
      const name = dialog.getByLabel('Name');
      const expires = dialog.getByRole('radiogroup', { name: 'Expires' });
      for (const [control, text] of [
        [name, 'This field may not be blank.'],
        [expires, 'This field is required.'],
      ]) {
        await control.and(page.locator('[aria-invalid=true]')).waitFor();
        const [error] = (await control.getAttribute('aria-describedby')).split(' ');
        assert.equal(await page.locator(`#${error}`).textContent(), text);
      }
      assert.equal(await focused(page), 'name');
      await name.fill('x'.repeat(256));
      await dialog.getByLabel('7 days').check();
      await dialog.getByRole('button', { name: 'Create token' }).click();
      await page.getByText('Ensure this field has no more than 255 characters.').waitFor();
      assert.equal(await expires.getAttribute('aria-invalid'), 'false');
      await name.fill('short');
      await dialog.getByRole('button', { name: 'Create token' }).click();
      await field(page).waitFor();
    },
    { expected: STATUS },
  ));

test('errors about scopes and about the request are shown', () => {
  const problems = [
    { scopes: ['Ensure this account has each of these scopes.'] },
    { non_field_errors: ['No more than 3 private tokens are allowed. Revoke one first.'] },
    { non_field_errors: 'Not a list.', name: 'Not a list, either.' },
  ];
  const answers = {
    'POST private_tokens/': async (_, __, route) => void (await route.fulfill({ status: 400, json: problems.shift() })),
  };
  return withPage(
    async (page) => {
      await fakeApi(page, { answers });
      await logIn(page, ada);
      await page.getByRole('button', { name: 'New token' }).click();
      const submit = newToken(page).getByRole('button', { name: 'Create token' });
      await submit.click();
      await newToken(page).locator('#scopes-error').getByText('Ensure this account has').waitFor();
      const box = newToken(page).getByRole('checkbox').first();
      assert.deepEqual(
        [await box.getAttribute('aria-invalid'), await box.getAttribute('aria-describedby')],
        ['true', 'scopes-error'],
      );
      await submit.click();
      await newToken(page).getByRole('alert').getByText('No more than 3 private tokens are allowed.').waitFor();
      assert.equal(await box.getAttribute('aria-invalid'), 'false');
      await submit.click();
      await newToken(page).getByRole('alert').getByText('Not a list.').waitFor();
      assert.equal(await newToken(page).locator('#name-error').textContent(), 'Not a list, either.');
    },
    { expected: STATUS },
  );
});

test('Copy puts the token into the clipboard and announces it', () =>
  withPage(async (page) => {
    await logIn(page, user(19));
    const status = await page.locator('#copied').elementHandle();
    assert.equal(await status.getAttribute('role'), 'status');
    await createInPage(page);
    assert.equal(await status.textContent(), '');
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.locator('#copied').getByText('Copied', { exact: true }).waitFor();
    assert.equal(await status.textContent(), 'Copied');
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await shownToken(page));
    await page.keyboard.press('Escape');
    await field(page).waitFor({ state: 'hidden' });
    assert.equal(await page.locator('dialog[open]').count(), 0);
  }, clipboard));

test('without the clipboard API the token is copied, too', () =>
  withPage(
    async (page) => {
      await logIn(page, user(20));
      await createInPage(page);
      await page.getByRole('button', { name: 'Copy' }).click();
      await page.locator('#copied').getByText('Copied', { exact: true }).waitFor();
    },
    {
      prepare: (page) => page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined })),
    },
  ));

test('a copy of a part of the token is not a copy', () =>
  withPage(async (page) => {
    await logIn(page, user(36));
    await createInPage(page);
    await field(page).focus();
    const copy = async (length) => {
      await field(page).evaluate((input, end) => input.setSelectionRange(0, end), length);
      // The listener must be there before the key is pressed.
      await page.evaluate(() => {
        window.copied = new Promise((resolve) => addEventListener('copy', () => resolve(), { once: true }));
      });
      await page.keyboard.press('ControlOrMeta+c');
      await page.evaluate(() => window.copied);
      return page.locator('#copied').textContent();
    };
    const { length } = await shownToken(page);
    assert.equal(await copy(length - 1), '');
    await page.keyboard.press('Escape');
    await page.getByRole('alertdialog', { name: 'Close without copying?' }).waitFor();
    await page.getByRole('button', { name: 'Back to the token' }).click();
    await field(page).focus();
    assert.equal(await copy(length), 'Copied');
  }, clipboard));

test('closing without copying asks for confirmation', () =>
  withPage(async (page) => {
    await logIn(page, user(21));
    await createInPage(page);
    const token = await shownToken(page);
    const question = page.getByRole('alertdialog', { name: 'Close without copying?' });
    // Chromium closes a dialog at the second Escape, whatever the page says about the event `cancel`.
    for (let count = 0; count < 2; count += 1) {
      await page.keyboard.press('Escape');
      await question.waitFor();
      await page.keyboard.press('Escape');
      await question.waitFor({ state: 'hidden' });
      assert.equal(await shownToken(page), token);
    }
    await page.getByRole('button', { name: 'Done' }).click();
    await question.getByRole('button', { name: 'Back to the token' }).click();
    assert.equal(await field(page).isVisible(), true);
    await page.evaluate(() => document.querySelector('#token-dialog').close());
    await question.waitFor();
    await question.getByRole('button', { name: 'Close without copying' }).click();
    await field(page).waitFor({ state: 'hidden' });
    assert.equal(await page.locator('dialog[open]').count(), 0);
  }));

test('a view that the user went back to is shown when the dialog closes', () =>
  withPage(
    async (page) => {
      await logIn(page, user(37));
      await page.getByRole('link', { name: 'Private tokens' }).click();
      await page.getByRole('button', { name: 'New token' }).click();
      await page.goBack();
      assert.ok(page.url().endsWith('#sessions'));
      assert.equal(await newToken(page).isVisible(), true);
      await page.keyboard.press('Escape');
      await page.getByRole('heading', { name: 'Sessions', level: 1 }).waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Sessions');
    },
    { hash: '#sessions' },
  ));

test('the token is shown only once', () =>
  withPage(async (page) => {
    await logIn(page, user(22));
    await createInPage(page, 'once');
    const token = await shownToken(page);
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.locator('#copied').getByText('Copied', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('cell', { name: 'once', exact: true }).waitFor();
    const rest = await page.evaluate(() => document.documentElement.outerHTML + document.querySelector('#token').value);
    assert.ok(!rest.includes(token));
    await page.getByRole('button', { name: 'New token' }).click();
    assert.equal(await newToken(page).getByLabel('Name').inputValue(), '');
    assert.equal(await field(page).isVisible(), false);
  }, clipboard));

test('a dialog that waits for the service stays open', () => {
  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  let calls = 0;
  return withPage(async (page) => {
    await fakeApi(page, {
      answers: {
        'POST private_tokens/': async () => {
          calls += 1;
          await held;
          return { id: 1, name: 'slow', data: 'the.new.token' };
        },
      },
    });
    await logIn(page, ada);
    await page.getByRole('button', { name: 'New token' }).click();
    await newToken(page).getByLabel('Name').fill('slow');
    for (const key of ['Enter', 'Enter', 'Escape', 'Escape', 'Escape']) await page.keyboard.press(key);
    assert.equal(await newToken(page).isVisible(), true);
    release();
    await field(page).waitFor();
    assert.deepEqual([await shownToken(page), calls], ['the.new.token', 1]);
  });
});

test('a rotation shows the new token, and the old one ends at once', () =>
  withPage(
    async (page) => {
      const [old] = await create(user(23), ['worker']);
      await logIn(page, user(23));
      await page.getByRole('button', { name: 'Rotate worker' }).click();
      const dialog = page.getByRole('dialog', { name: 'Rotate worker' });
      assert.equal(await dialog.getByLabel('Name').isVisible(), false);
      await dialog.getByRole('button', { name: 'Rotate token' }).click();
      await dialog.getByText('This field is required.').waitFor();
      await dialog.getByLabel('7 days').check();
      assert.equal(await dialog.getByLabel('Old token').inputValue(), '0');
      await dialog.getByRole('button', { name: 'Rotate token' }).click();
      const token = await shownToken(page);
      assert.deepEqual([await isAccepted(token), await isAccepted(old.data)], [true, false]);
      await page.keyboard.press('Escape');
      await page.getByRole('alertdialog', { name: 'Close without copying?' }).waitFor();
    },
    { expected: STATUS },
  ));

test('a rotation with an overlap keeps the old token for a while', () =>
  withPage(async (page) => {
    const [old] = await create(user(24), ['worker']);
    await logIn(page, user(24));
    await page.getByRole('button', { name: 'Rotate worker' }).click();
    const dialog = page.getByRole('dialog', { name: 'Rotate worker' });
    const choices = await dialog.getByLabel('Old token').locator('option').allTextContents();
    assert.deepEqual(choices, ['Ends at once', 'Ends after 15 minutes', 'Ends after 1 hour', 'Ends after 1 day']);
    await dialog.getByLabel('7 days').check();
    await dialog.getByLabel('Old token').selectOption('Ends after 1 hour');
    await dialog.getByRole('button', { name: 'Rotate token' }).click();
    const token = await shownToken(page);
    assert.deepEqual([await isAccepted(token), await isAccepted(old.data)], [true, true]);
  }));

test('revoking asks in an alert dialog', () =>
  withPage(async (page) => {
    const [token] = await create(user(25), ['old job']);
    await logIn(page, user(25));
    const revoke = page.getByRole('button', { name: 'Revoke old job' });
    await revoke.click();
    const question = page.getByRole('alertdialog', { name: 'Revoke old job?' });
    await question.getByText('Everything that uses this token loses access at once.').waitFor();
    assert.equal(await focused(page), 'confirm-cancel');
    await page.keyboard.press('Escape');
    await question.waitFor({ state: 'hidden' });
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), 'Revoke old job');
    assert.ok(await isAccepted(token.data));
    await revoke.click();
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === 'DELETE'),
      question.getByRole('button', { name: 'Revoke token' }).click(),
    ]);
    assert.equal(answer.status(), 204);
    assert.equal(await isAccepted(token.data), false);
    await page.getByRole('status').getByText('old job is revoked.').waitFor();
  }));

test('the row of a revoked token disappears at once', () =>
  withPage(async (page) => {
    let release;
    const held = new Promise((resolve) => {
      release = resolve;
    });
    await create(user(26), ['first', 'second']);
    await logIn(page, user(26));
    await page.route('**/private_tokens/*/', async (route) => {
      await held;
      await route.continue();
    });
    await page.getByRole('button', { name: 'Revoke second' }).click();
    await page.getByRole('button', { name: 'Revoke token' }).click();
    await page.getByRole('cell', { name: 'second', exact: true }).waitFor({ state: 'detached' });
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), 'Revoke first');
    await page.locator('.range').getByText('1–1 of 1').waitFor();
    release();
    await page.getByRole('status').getByText('second is revoked.').waitFor();
  }));

test('the row comes back if the revocation fails', () =>
  withPage(
    async (page) => {
      const [token] = await create(user(27), ['precious']);
      await logIn(page, user(27));
      await page.route('**/private_tokens/*/', (route) => route.fulfill({ status: 503, json: {} }));
      await page.getByRole('button', { name: 'Revoke precious' }).click();
      await page.getByRole('button', { name: 'Revoke token' }).click();
      await page.getByRole('alert').getByText('precious is not revoked. The service is not available').waitFor();
      await page.getByRole('cell', { name: 'precious', exact: true }).waitFor();
      assert.ok(await isAccepted(token.data));
      await page.unroute('**/private_tokens/*/');
      await page.getByRole('button', { name: 'Revoke precious' }).click();
      await page.getByRole('button', { name: 'Revoke token' }).click();
      await page.getByText('No private tokens yet').waitFor();
      await loaded(page);
    },
    { expected: STATUS },
  ));

test('a token that another tab has revoked is not an error', () =>
  withPage(
    async (page) => {
      const [token] = await create(user(28), ['twice']);
      await logIn(page, user(28));
      await page.getByRole('button', { name: 'Revoke twice' }).click();
      const access = (await call('POST', 'login/', { body: { username: user(28).email, password: user(28).password } }))
        .body;
      await call('DELETE', `private_tokens/${token.id}/`, { token: access.access_token });
      await page.getByRole('button', { name: 'Revoke token' }).click();
      await page.getByText('No private tokens yet').waitFor();
      assert.equal(await page.getByRole('alert').filter({ hasText: /./, visible: true }).count(), 0);
    },
    { expected: STATUS },
  ));
