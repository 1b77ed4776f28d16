// Starts Chromium for the tests of the token management page and for its screenshots.
//
// CHROMIUM: the program. PLAYWRIGHT_DIR: a folder in which npm has installed `playwright-core` and `axe-core`.

import { pathToFileURL } from 'node:url';

const packages = `${process.env.PLAYWRIGHT_DIR}/node_modules`;
const { chromium } = (await import(pathToFileURL(`${packages}/playwright-core/index.js`))).default;

/** Chromium has no sandbox for root. */
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: process.getuid() === 0 ? ['--no-sandbox'] : [],
  });

/** Options of a context in which pictures and texts are always the same. */
export const STEADY = { locale: 'en-US', timezoneId: 'Europe/Berlin', reducedMotion: 'reduce' };

export const logIn = async (page, { email, password }) => {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.getByRole('button', { name: 'Log out', exact: true }).waitFor();
};

/** Waits until the list that is shown is loaded. */
export const loaded = (page) => page.locator('.list:visible:not([aria-busy=true])').waitFor();
