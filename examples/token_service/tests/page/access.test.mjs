// Keyboard, screen readers, widths, colours, and the policy of the page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { create, loaded, logIn, PAGE_URL, STATUS, user, withPage } from './harness.mjs';
import { fakeApi, NOW, TOKENS } from './fake_api.mjs';

const ada = { email: 'ada@example.org', password: 'a password' };
const AXE = readFileSync(`${process.env.PLAYWRIGHT_DIR}/node_modules/axe-core/axe.min.js`, 'utf8');
const SMALL = { width: 320, height: 640 };
const failing = {
  'GET private_tokens/': async (_, __, route) => void (await route.fulfill({ status: 503, json: {} })),
};
const waiting = { 'GET private_tokens/': () => new Promise(() => {}) };
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const openNewToken = (page) => press(page, 'New token');
const createToken = async (page) => {
  await openNewToken(page);
  await page.getByLabel('Name').fill('a');
  await press(page, 'Create token');
  await page.getByLabel('Your new token').waitFor();
};

/** Each state of the page: its name, the answers of the API, and how to reach it. */
const STATES = [
  ['log-in', { isLoggedOut: true }],
  [
    'errors of the log-in',
    {
      isLoggedOut: true,
      answers: {
        'POST login/': async (_, __, route) =>
          void (await route.fulfill({
            status: 400,
            json: { username: ['This field may not be blank.'], detail: undefined },
          })),
      },
    },
    (page) => press(page, 'Log in'),
  ],
  ['list', {}],
  ['empty list', { tokens: [] }],
  ['loading', { answers: waiting, isLoading: true }],
  ['failed', { answers: failing }],
  [
    'no match',
    {},
    async (page) => {
      await page.getByLabel('Search tokens').fill('nothing');
      await page.getByText('No token has').waitFor();
    },
  ],
  ['pages', { tokens: Array.from({ length: 60 }, (_, id) => ({ ...TOKENS[id % 5], id })) }],
  ['long name', { tokens: [{ ...TOKENS[0], name: 'x'.repeat(255), scopes: ['y'.repeat(80), 'orders:read'] }] }],
  [
    'new token',
    {},
    async (page) => {
      await openNewToken(page);
      await page.getByLabel('Custom date').first().check();
    },
  ],
  ['no scopes', { scopes: [] }, openNewToken],
  [
    'field errors',
    {
      answers: {
        'POST private_tokens/': async (_, __, route) =>
          void (await route.fulfill({
            status: 400,
            json: { name: ['Blank.'], expiration_time: ['Required.'], scopes: ['Wrong.'] },
          })),
      },
    },
    async (page) => {
      await openNewToken(page);
      await press(page, 'Create token');
      await page.getByText('Required.').waitFor();
    },
  ],
  ['token shown once', {}, createToken],
  [
    'not copied',
    {},
    async (page) => {
      await createToken(page);
      await press(page, 'Done');
      await page.getByRole('alertdialog').waitFor();
    },
  ],
  ['rotation', {}, (page) => press(page, 'Rotate CI deploys')],
  ['revocation', {}, (page) => press(page, 'Revoke CI deploys')],
  [
    'revoked',
    {},
    async (page) => {
      await press(page, 'Revoke CI deploys');
      await press(page, 'Revoke token');
      await page.getByText('CI deploys is revoked.').waitFor();
    },
  ],
  ['sessions', { hash: '#sessions' }],
  ['password', { hash: '#password', isLoading: true }],
];

/** Shows each state and looks at it. */
const inEachState = async (options, look) => {
  for (const [name, { isLoggedOut, isLoading, hash = '', ...api }, prepare] of STATES) {
    await withPage(
      async (page) => {
        await page.clock.setFixedTime(NOW);
        await fakeApi(page, api);
        if (!isLoggedOut) await logIn(page, ada);
        if (!isLoggedOut && !isLoading) await loaded(page);
        await prepare?.(page);
        await look(page, name);
      },
      { hash, expected: STATUS, ...options },
    );
  }
};

const violationsOf = async (page) => {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ''}`)}`,
  );
};

test('axe finds nothing wrong in any state, in light colours', async () => {
  await inEachState({ colorScheme: 'light', bypassCSP: true }, async (page, name) => {
    assert.deepEqual(await violationsOf(page), [], name);
  });
});

test('axe finds nothing wrong in any state, in dark colours', async () => {
  await inEachState({ colorScheme: 'dark', bypassCSP: true }, async (page, name) => {
    assert.deepEqual(await violationsOf(page), [], name);
  });
});

test('axe finds nothing wrong in any state, at 320 pixels', async () => {
  await inEachState({ viewport: SMALL, bypassCSP: true }, async (page, name) => {
    assert.deepEqual(await violationsOf(page), [], name);
  });
});

test('nothing scrolls sideways at 320, 768 and 1280 pixels', async () => {
  await inEachState({}, async (page, name) => {
    for (const width of [320, 768, 1280]) {
      await page.setViewportSize({ width, height: 640 });
      const wide = await page.evaluate(() =>
        [document.documentElement, ...document.querySelectorAll('dialog[open], .list, td')]
          .filter((element) => element.scrollWidth > element.clientWidth + 1)
          .map(({ tagName, id }) => `${tagName}#${id}`),
      );
      assert.deepEqual(wide, [], `${name} at ${width}`);
    }
  });
});

test('the page works with the keyboard alone', () =>
  withPage(
    async (page) => {
      await create(user(33), ['old']);
      const keys = async (...names) => {
        for (const name of names) await page.keyboard.press(name);
      };
      const focus = () =>
        page.evaluate(() => {
          const { id, ariaLabel, textContent, value } = document.activeElement;
          return ariaLabel || textContent.trim() || value || id;
        });
      const tabTo = async (wanted) => {
        for (let count = 0; count < 40; count += 1) {
          if ((await focus()) === wanted) return;
          await keys('Tab');
        }
        assert.fail(`${wanted} was not reached, but ${await focus()}`);
      };
      await page.keyboard.type(user(33).email);
      await keys('Tab');
      await page.keyboard.type(user(33).password);
      await keys('Enter');
      await page.getByText('old', { exact: true }).waitFor();
      await tabTo('New token');
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.equal(outline, 'solid');
      await keys('Enter');
      await page.keyboard.type('typed');
      await keys('Tab', 'Space', 'ArrowDown', 'Tab', 'Space');
      await tabTo('Create token');
      await keys('Enter');
      await page.getByLabel('Your new token').waitFor();
      await tabTo('Copy');
      await keys('Enter');
      await page.locator('#copied').getByText('Copied', { exact: true }).waitFor();
      // The focus stays in the dialog.
      for (let count = 0; count < 6; count += 1) {
        await keys('Tab');
        assert.ok(
          await page.evaluate(
            () => document.activeElement === document.body || document.activeElement.closest('dialog'),
          ),
        );
      }
      await keys('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      assert.equal(await focus(), 'New token');
      const row = page.getByRole('row').filter({ hasText: 'typed' });
      assert.match(await row.textContent(), /^typedinvoices:read.*expires in 30 days/);
      await tabTo('Revoke old');
      await keys('Enter', 'Tab', 'Enter');
      await page.getByText('old is revoked.').waitFor();
      assert.equal(await focus(), 'Revoke typed');
    },
    { permissions: ['clipboard-read', 'clipboard-write'] },
  ));

test('the policy of the page stops what is not its own', () =>
  withPage(
    async (page) => {
      const response = await page.request.get(PAGE_URL);
      const headers = response.headers();
      assert.equal(headers['cache-control'], 'no-store');
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.match(headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
      assert.ok(!headers['content-security-policy'].includes('unsafe'));
      // If the listener of the tests did not work, no violation would be found elsewhere either.
      const sink = await page.evaluate(() => {
        try {
          document.body.innerHTML += '<b>x</b>';
          return 'written';
        } catch ({ name }) {
          return name;
        }
      });
      assert.equal(sink, 'TypeError');
      await page
        .evaluate(() => {
          const script = document.createElement('script');
          script.append('window.hasRun = true');
          document.body.append(script);
        })
        .catch(() => {});
      assert.equal(await page.evaluate(() => window.hasRun), undefined);
      assert.notDeepEqual(await page.evaluate(() => window.violations), []);
      await page.evaluate(() => {
        window.violations = [];
      });
    },
    { expected: /Trusted|Content Security Policy|violates/i },
  ));

test('the page cannot be framed', () =>
  withPage(async (page, context) => {
    const other = await context.newPage();
    await other.route('http://other.example/', (route) =>
      route.fulfill({
        contentType: 'text/html',
        body: `<iframe src="${PAGE_URL}"></iframe>`,
      }),
    );
    await other.goto('http://other.example/');
    const [, frame] = other.frames();
    assert.equal(frame.url(), 'chrome-error://chromewebdata/');
  }));

test('colours follow the system, and reduced motion stops animations', () =>
  withPage(async (page) => {
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
    const light = await background();
    const animation = () =>
      page.evaluate(() => {
        const dialog = document.querySelector('#confirm');
        dialog.mayClose = () => true;
        dialog.showModal();
        const { animationName } = getComputedStyle(dialog);
        dialog.close();
        return animationName;
      });
    assert.equal(await animation(), 'rise');
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
    assert.notEqual(await background(), light);
    assert.equal(await animation(), 'none');
  }));
