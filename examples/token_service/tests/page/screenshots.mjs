// Makes the screenshots of the token management page: `node screenshots.mjs URL FOLDER`. `.ci/screenshots` calls it.

import { fakeApi, NOW, TOKENS } from './fake_api.mjs';
import { launch, logIn, STEADY } from './browser.mjs';

const [url, folder] = process.argv.slice(2);
const USER = { email: 'ada@example.org', password: 'a password' };
const browser = await launch();

const picture = async (name, { width = 1120, height = 680, dark = false, log = true, tokens, hash = '' }, prepare) => {
  const context = await browser.newContext({
    ...STEADY,
    viewport: { width, height },
    colorScheme: dark ? 'dark' : 'light',
  });
  const page = await context.newPage();
  await page.clock.setFixedTime(NOW);
  await fakeApi(page, { tokens });
  await page.goto(`${url}${hash}`);
  if (log) {
    await logIn(page, USER);
    await page.locator('.list:visible:not([aria-busy=true])').waitFor();
  }
  await prepare?.(page);
  await page.mouse.move(0, 0);
  await page.screenshot({ path: `${folder}/${name}.png`, caret: 'hide' });
  await context.close();
};

const fillNewToken = async (page) => {
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('Name').fill('Release pipeline');
  await page.getByText('90 days').click();
  await page.getByRole('checkbox', { name: 'orders:read' }).check();
};
const showToken = async (page) => {
  await fillNewToken(page);
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByText('Copied', { exact: true }).waitFor();
};
const revoke = (page) => page.getByRole('button', { name: 'Revoke CI deploys' }).click();
const SMALL = { width: 320, height: 720 };

await picture('log_in', { log: false });
await picture('empty_list', { tokens: [] });
await picture('list', {});
await picture('new_token', { height: 800 }, fillNewToken);
await picture('token_shown_once', {}, showToken);
await picture('revoke', {}, revoke);
await picture('sessions', { hash: '#sessions' });
await picture('dark', { dark: true });
await picture('dark_new_token', { dark: true, height: 800 }, fillNewToken);
await picture('small_list', SMALL);
await picture('small_new_token', SMALL, fillNewToken);
await picture('small_dark', { ...SMALL, dark: true, tokens: TOKENS.slice(1) });
await browser.close();
