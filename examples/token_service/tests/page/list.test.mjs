// The list of private tokens.

import assert from 'node:assert/strict';
import test from 'node:test';

import { call, changeHtml, create, apiLogIn, loaded, logIn, STATUS, user, withPage } from './harness.mjs';
import { fakeApi, NOW, TOKENS } from './fake_api.mjs';

const ada = { email: 'ada@example.org', password: 'a password' };
const names = (page) => page.locator('#tokens tbody .name').allTextContents();
const many = (count) =>
  Array.from({ length: count }, (_, index) => ({ ...TOKENS[0], id: index + 1, name: `token ${index + 1}` }));

/** Shows the list of a fake API at a fixed time. */
const withList = (api, run, options = {}) =>
  withPage(async (page) => {
    await page.clock.setFixedTime(NOW);
    await fakeApi(page, api);
    await logIn(page, ada);
    await run(page);
  }, options);

test('the list has the columns of the contract', () =>
  withList({}, async (page) => {
    const table = page.getByRole('table', { name: 'Private tokens' });
    const headers = await table.getByRole('columnheader').allTextContents();
    assert.deepEqual(headers, ['Name', 'Scopes', 'Created', 'Expires', 'Last used', 'Actions']);
    await loaded(page);
    const cells = await table.getByRole('row').nth(1).getByRole('cell').allTextContents();
    assert.deepEqual(cells, [
      'CI deploys',
      'orders:readorders:write',
      '12 days ago',
      'expires in 78 days',
      '4 minutes ago',
      'RotateRevoke',
    ]);
    const other = await table.getByRole('row').nth(4).getByRole('cell').allTextContents();
    assert.deepEqual([other[1], other[4]], ['none', 'never']);
  }));

test('expiry is in words, and dates have the exact time as title', () =>
  withList({}, async (page) => {
    await loaded(page);
    const expiries = await page.locator('tbody td[data-label=Expires] time').allTextContents();
    assert.deepEqual(expiries, [
      'expires in 78 days',
      'expires in 3 days',
      'expires in 5 months',
      'expires in 11 months',
      'expired 2 days ago',
    ]);
    const title = await page.getByText('12 days ago').getAttribute('title');
    // 9:30 in Berlin.
    assert.match(title, /^Sunday, November 15, 2026 at 9:30:00\sAM GMT\+1$/);
  }));

test('dates are in the time zone of the reader', () =>
  withList(
    {},
    async (page) => {
      const title = await page.getByText('12 days ago').getAttribute('title');
      assert.match(title, /^Sunday, November 15, 2026 at 5:30:00\sPM GMT\+9$/);
    },
    { timezoneId: 'Asia/Tokyo' },
  ));

test('a language that the browser rejects is replaced by its own', () =>
  withList(
    {},
    async (page) => {
      assert.equal(await page.locator('html').getAttribute('lang'), 'de_DE');
      await page.getByText('12 days ago').waitFor();
    },
    { prepare: (page) => changeHtml(page, /<html lang="en"/, '<html lang="de_DE"') },
  ));

test('headers sort the list and say in which direction', () =>
  withPage(async (page) => {
    await logIn(page, user(0));
    await loaded(page);
    const header = (name) => page.getByRole('columnheader', { name });
    assert.equal(await header('Created').getAttribute('aria-sort'), 'descending');
    await page.getByRole('button', { name: 'Name' }).click();
    await page.getByText('many 0000').waitFor();
    assert.equal(await header('Name').getAttribute('aria-sort'), 'ascending');
    assert.equal(await header('Created').getAttribute('aria-sort'), null);
    assert.deepEqual((await names(page)).slice(0, 2), ['many 0000', 'many 0001']);
    await page.getByRole('button', { name: 'Name' }).click();
    await page.getByText('many 0999').waitFor();
    assert.equal(await header('Name').getAttribute('aria-sort'), 'descending');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Name');
  }));

test('a search finds tokens by their names', () =>
  withPage(async (page) => {
    await logIn(page, user(0));
    await page.getByLabel('Search tokens').fill('MANY 04');
    await page.getByText('1–20 of 100', { exact: true }).first().waitFor();
    assert.ok((await names(page)).every((name) => name.startsWith('many 04')));
    await page.getByLabel('Search tokens').fill('no such token');
    await page.getByText('No token has “no such token” in its name').waitFor();
    await page.getByRole('button', { name: 'Clear search' }).click();
    await page.getByText('1–20 of 1000', { exact: true }).first().waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'search');
  }));

test('a thousand tokens are in pages', () =>
  withPage(async (page) => {
    await logIn(page, user(0));
    const pages = page.getByRole('navigation', { name: 'Pages of tokens' });
    await pages.getByText('1–20 of 1000').waitFor();
    const labels = await pages.getByRole('button').allTextContents();
    assert.deepEqual(labels, ['Previous', '1', '2', '50', 'Next']);
    assert.equal(await pages.getByRole('button', { name: 'Previous' }).isDisabled(), true);
    await pages.getByRole('button', { name: 'Next' }).click();
    await pages.getByText('21–40 of 1000').waitFor();
    const current = await pages.locator('[aria-current=page]').textContent();
    assert.equal(current, '2');
    await pages.getByRole('button', { name: 'Page 50' }).click();
    await pages.getByText('981–1000 of 1000').waitFor();
    assert.equal(await pages.getByRole('button', { name: 'Next' }).isDisabled(), true);
  }));

test('lists of 1 and 25 tokens are complete', async () => {
  await withList({ tokens: many(1) }, async (page) => {
    await page.locator('.range').getByText('1–1 of 1').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Next' }).count(), 0);
  });
  await withList({ tokens: many(25) }, async (page) => {
    await page.getByRole('button', { name: 'Next' }).click();
    await page.locator('.range').getByText('21–25 of 25').waitFor();
    assert.equal((await names(page)).length, 5);
  });
});

test('a page that no longer exists leads to the last one', () => {
  let tokens = many(45);
  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  const list = async (parameters, _, route) => {
    const page = parameters.get('page');
    if (page === 'last') await held;
    const first = page === 'last' ? Math.floor((tokens.length - 1) / 20) * 20 : (page - 1) * 20;
    const results = tokens.slice(first, first + 20);
    if (results.length) return { count: tokens.length, results };
    return void (await route.fulfill({ status: 404, json: { detail: 'Invalid page.' } }));
  };
  return withList(
    { answers: { 'GET private_tokens/': list } },
    async (page) => {
      await page.getByRole('button', { name: 'Page 3' }).click();
      await page.locator('.range').getByText('41–45 of 45').waitFor();
      tokens = many(25);
      const last = page.waitForRequest(/page=last/);
      await page.getByRole('button', { name: 'Page 3' }).click();
      await last;
      assert.doesNotMatch(await page.locator('#tokens').textContent(), /NaN|last/);
      release();
      await page.locator('.range').getByText('21–25 of 25').waitFor();
      assert.equal(await page.locator('#tokens [aria-current=page]').textContent(), '2');
    },
    { expected: STATUS },
  );
});

test('an empty list explains what tokens are for', () =>
  withPage(async (page) => {
    await logIn(page, user(13));
    await page.getByRole('heading', { name: 'No private tokens yet' }).waitFor();
    await page.getByText('lets a backend, a script or a CI job call the API without your password').waitFor();
    assert.equal(await page.getByRole('table').count(), 0);
    await page.getByRole('button', { name: 'Create your first token' }).click();
    await page.getByRole('dialog', { name: 'New token' }).waitFor();
  }));

test('a slow API shows that the list is loading', () => {
  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  const slow = {
    'GET private_tokens/': async () => {
      await held;
      return { count: 1, results: TOKENS.slice(0, 1) };
    },
  };
  return withList({ answers: slow }, async (page) => {
    await page.locator('#tokens .list[aria-busy=true]').waitFor();
    await page.locator('#tokens').getByRole('status').getByText('Loading').waitFor();
    assert.equal(await page.locator('.skeleton').count(), 18);
    release();
    await page.getByText('CI deploys', { exact: true }).waitFor();
    assert.equal(await page.locator('.skeleton').count(), 0);
    assert.equal(await page.locator('#tokens').getByRole('status').textContent(), '1–1 of 1');
  });
});

test('a failing API shows an error with a button to try again', () => {
  let failures = 2;
  const failing = {
    'GET private_tokens/': async (_, __, route) => {
      failures -= 1;
      if (failures === 1) return void (await route.fulfill({ status: 503, headers: { 'Retry-After': '5' }, json: {} }));
      if (failures === 0) return void (await route.abort());
      return { count: 1, results: TOKENS.slice(0, 1) };
    },
  };
  return withList(
    { answers: failing },
    async (page) => {
      const alert = page.locator('#tokens').getByRole('alert');
      await alert.getByText('The tokens could not be loaded').waitFor();
      await alert.getByText('The service is not available at the moment. Try again in 5 seconds').waitFor();
      await page.getByRole('button', { name: 'Try again' }).click();
      await alert.getByText('The service does not answer. Check your connection.').waitFor();
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByText('CI deploys', { exact: true }).waitFor();
      // The button is gone, so the heading has the focus.
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Private tokens');
    },
    { expected: /Failed to load resource/ },
  );
});

test('an answer that is not JSON is an error', () =>
  withList(
    {
      answers: {
        'GET private_tokens/': async (_, __, route) =>
          void (await route.fulfill({
            status: 502,
            contentType: 'text/html',
            body: '<h1>Bad Gateway</h1>',
          })),
      },
    },
    async (page) => {
      await page.getByRole('alert').getByText('The service answered with an error (502).').waitFor();
    },
    { expected: STATUS },
  ));

test('markup, right-to-left text and long names are shown as text', () =>
  withPage(async (page) => {
    const markup = '<img src=x onerror=alert(1)><b>bold</b>';
    const wanted = [markup, 'نسخ احتياطي <x> 2', '\u202Egnp.exe', 'x'.repeat(255)];
    await create(user(14), wanted);
    await logIn(page, user(14));
    await page.getByText(wanted[0]).waitFor();
    assert.deepEqual((await names(page)).sort(), [...wanted].sort());
    assert.equal(await page.locator('tbody img, tbody b').count(), 0);
    const direction = (text) =>
      page.locator('.name', { hasText: text }).evaluate((name) => getComputedStyle(name).direction);
    assert.deepEqual([await direction('نسخ'), await direction('bold')], ['rtl', 'ltr']);
    for (const width of [320, 768, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} at ${width}`);
    }
    await page.getByRole('button', { name: 'Revoke نسخ احتياطي <x> 2' }).click();
    const title = page.getByRole('alertdialog').getByRole('heading');
    assert.equal(await title.textContent(), 'Revoke نسخ احتياطي <x> 2?');
    assert.equal(await title.locator('bdi').textContent(), 'نسخ احتياطي <x> 2');
  }));

test('a change in another tab is seen when the tab is shown again', () =>
  withPage(async (page) => {
    const [first] = await create(user(15), ['elsewhere', 'here']);
    await logIn(page, user(15));
    await page.getByText('elsewhere').waitFor();
    const { access_token: token } = await apiLogIn(user(15));
    assert.equal((await call('DELETE', `private_tokens/${first.id}/`, { token })).status, 204);
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await page.getByText('elsewhere').waitFor({ state: 'detached' });
    assert.deepEqual(await names(page), ['here']);
  }));
