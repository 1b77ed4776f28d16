// The views: log-in, tokens, sessions, password.

const tokens = makeList({
  id: 'tokens',
  path: 'private_tokens/',
  ordering: '-created_at',
  failed: texts.tokens_failed,
  row: tokenRow,
});

const sessions = makeList({
  id: 'sessions',
  path: 'sessions/',
  ordering: '-last_used_at',
  failed: texts.sessions_failed,
  row: sessionRow,
});

const VIEWS = {
  tokens: { title: texts.tokens, open: () => load(tokens) },
  sessions: { title: texts.sessions, open: () => load(sessions) },
  password: {
    title: texts.change_password,
    open: () => {
      $('username').value = session.email;
    },
  },
};

let shownHash;

function showView({ hasFocus = true } = {}) {
  shownHash = location.hash;
  const wanted = shownHash.slice(1);
  const isOffered = Object.hasOwn(VIEWS, wanted) && (wanted !== 'password' || hasPassword);
  const name = !session ? 'login' : isOffered ? wanted : 'tokens';
  for (const section of document.querySelectorAll('main > section')) section.hidden = section.id !== name;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  $('header').hidden = !session;
  const view = VIEWS[name];
  document.title = view && view.title !== texts.title ? `${view.title} · ${texts.title}` : texts.title;
  if (hasFocus) focusOn(null);
  view?.open();
}

/** Shows the view of the hash, but not behind a dialog. */
function followHash() {
  if (location.hash === shownHash || document.querySelector('dialog[open]')) return;
  clearMessages();
  showView();
}

// Log-in and log-out

onSubmit($('login-form'), async (data) => {
  clearMessages();
  const username = data.get('username').trim();
  const body = { username, password: data.get('password') };
  try {
    const answer = await send('POST', 'login/', { body });
    session = adopt({ email: answer.email ?? username, ended: new AbortController() }, answer);
  } catch (error) {
    if (error.status === 401) $('login-password').value = '';
    if (error instanceof Failure && !Object.keys(error.fields).length) $('login-password').focus();
    throw error;
  }
  $('login-form').reset();
  $('account').textContent = session.email;
  showView();
});

/** Forgets the session and everything that it has shown. */
function endSession({ status = '', alert = '' }) {
  const { email } = session;
  session.ended.abort();
  session = null;
  for (const dialog of document.querySelectorAll('dialog[open]')) closeDialog(dialog);
  for (const form of document.querySelectorAll('form')) {
    form.reset();
    if (form.querySelector('[data-alert]')) showErrors(form, new Failure(''));
  }
  for (const list of [tokens, sessions]) resetList(list);
  for (const id of ['account', 'scopes', 'token-title', 'created-title', 'confirm-title']) $(id).replaceChildren();
  $('username').value = '';
  rotated = null;
  confirmed = null;
  say('page-status', status);
  if (alert) addAlert(alert);
  showView({ hasFocus: false });
  // Who logs in again after an expiry is probably the same user.
  if (alert) $('email').value = email;
  $(alert ? 'login-password' : 'email').focus();
}

$('log-out').addEventListener('click', async () => {
  const mine = session;
  await removalsEnd();
  if (session !== mine) return;
  endSession({ status: texts.logged_out });
  try {
    await authorized(mine, 'POST', 'logout/', { body: ({ refresh: token }) => ({ refresh_token: token }) });
  } catch (error) {
    // 401: the service had ended the session before.
    if (error.status !== 401 && !session) {
      say('page-status', '');
      addAlert(texts.log_out_failed);
    }
  }
  Object.assign(mine, { access: '', refresh: '' });
});

$('everywhere').addEventListener('click', () =>
  confirm({
    title: texts.everywhere_title,
    text: texts.everywhere_text,
    submit: texts.everywhere,
    action: async () => {
      await removalsEnd();
      await call('POST', 'revoke_all/');
      endSession({ status: texts.logged_out_everywhere });
    },
  }),
);

onSubmit($('password-form'), async (data) => {
  const body = { password: data.get('password'), new_password: data.get('new_password') };
  if (data.get('repeated') !== body.new_password) {
    throw new Failure('', { fields: { repeated: [texts.passwords_differ] } });
  }
  await removalsEnd();
  await call('POST', 'password/', { body });
  endSession({ status: texts.password_changed });
});

// Tokens

function tokenRow(token) {
  const { id, name, scopes = [], created_at: created, expiration_time: expiry, last_used_at: used } = token;
  const names = scopes.map((scope) => make('li', { textContent: scope, dir: 'ltr' }));
  const badges = names.length
    ? make('ul', { className: 'badges' }, ...names)
    : make('span', { className: 'muted', textContent: texts.no_scopes });
  const label = (text) => fill(text, { name });
  return rowOf(
    cell(texts.name, make('span', { className: 'name', dir: 'auto', textContent: name })),
    cell(texts.scopes, badges),
    cell(texts.created, timeElement(created)),
    cell(texts.expires, timeElement(expiry, 'expiry')),
    cell(texts.last_used, used ? timeElement(used) : make('span', { className: 'muted', textContent: texts.never })),
    cell(
      '',
      make(
        'span',
        { className: 'actions' },
        rowButton(`tokens-rotate-${id}`, texts.rotate, label(texts.rotate_name), () => openTokenForm(token)),
        rowButton(`tokens-remove-${id}`, texts.revoke, label(texts.revoke_name), () => askToRevoke(token), 'remove'),
      ),
    ),
  );
}

tokens.onrender = ({ isEmpty, count }) => {
  const hasNoMatch = Boolean(isEmpty && tokens.found);
  tokens.part('empty').hidden = !isEmpty || hasNoMatch;
  tokens.part('no-match').hidden = !hasNoMatch;
  fillElement(tokens.part('no-match-title'), texts.no_match, { query: tokens.found });
  $('search-form').hidden = !count && !tokens.query && !tokens.found;
};

function askToRevoke(token) {
  confirm({
    title: texts.revoke_title,
    name: token.name,
    text: texts.revoke_text,
    submit: texts.revoke_token,
    action: () => {
      closeDialog($('confirm'));
      remove(tokens, token, token.name, { done: texts.revoked, failed: texts.revoke_failed });
    },
  });
}

let searchTimer;

function search(text) {
  clearTimeout(searchTimer);
  if (text === tokens.query) return;
  Object.assign(tokens, { query: text, page: 1 });
  load(tokens);
}

$('search').addEventListener('input', ({ target }) => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => session && search(target.value.trim()), 250);
});
$('search-form').addEventListener('submit', (event) => {
  event.preventDefault();
  search($('search').value.trim());
});
$('clear-search').addEventListener('click', () => {
  $('search').value = '';
  search('');
  $('search').focus();
});

// New token, rotation

const dialog = $('token-dialog');
const tokenForm = $('token-form');
/** The token that is rotated; null for a new one. */
let rotated = null;
let isCopied = true;

function openTokenForm(token) {
  rotated = token;
  tokenForm.reset();
  showErrors(tokenForm, new Failure(''));
  tokenForm.hidden = false;
  $('created').hidden = true;
  say('token-title', token ? texts.rotate_name : texts.new_token, { name: token?.name });
  $('token-lead').textContent = token ? texts.rotate_lead : texts.create_lead;
  $('token-submit').textContent = token ? texts.rotate_token : texts.create;
  for (const part of tokenForm.querySelectorAll('[data-only]')) {
    part.hidden = (part.dataset.only === 'rotate') !== Boolean(token);
  }
  if (!maxOverlap) $('overlap').closest('.field').hidden = true;
  const { scopes } = session;
  $('scopes').replaceChildren(...scopes.map((scope) => choice('checkbox', 'scopes', scope, scope)));
  $('scopes-hint').textContent = scopes.length ? texts.scopes_hint : texts.account_without_scopes;
  showExpiry();
  openDialog(dialog, () => isCopied && !isBusy(tokenForm), askToClose);
  (token ? $('choices').querySelector('input') : $('name')).focus();
}

function choice(type, name, value, text) {
  const input = make('input', { type, name, value });
  if (type === 'checkbox') input.dataset.control = '';
  return make('label', { className: 'choice' }, input, make('span', { textContent: text }));
}

/** 60 seconds of the maximum are for the difference of two clocks. */
const lifetimeOf = (seconds) => Math.min(seconds, Math.max(maxLifetime - 60, maxLifetime / 2));

function expiryOf(data) {
  const value = data.get('expiry');
  if (value && value !== 'custom') return new Date(Date.now() + lifetimeOf(Number(value)) * 1000);
  const day = $('custom-date').valueAsDate;
  // The end of the day in the time zone of the reader.
  return value && day ? new Date(day.getUTCFullYear(), day.getUTCMonth(), day.getUTCDate(), 23, 59, 59) : undefined;
}

function showExpiry() {
  const data = new FormData(tokenForm);
  $('custom-field').hidden = data.get('expiry') !== 'custom';
  const expiry = expiryOf(data);
  const text = expiry > 0 ? fill(texts.expires_on, { date: longDate.format(expiry) }) : texts.choose_expiry;
  $('expiry-hint').textContent = text;
}

const localDate = (date) =>
  [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, '0')).join('-');

function addChoices() {
  const offered = [7, 30, 90, 365].map((days) => days * DAY_S).filter((seconds) => seconds <= maxLifetime);
  if (!offered.length) offered.push(maxLifetime);
  $('choices').append(...offered.map((seconds) => choice('radio', 'expiry', String(seconds), duration(seconds))));
  if (maxLifetime >= DAY_S) $('choices').append(choice('radio', 'expiry', 'custom', texts.custom_date));
  $('custom-date').min = localDate(new Date());
  $('custom-date').max = localDate(new Date(Date.now() + (maxLifetime - DAY_S) * 1000));
  const overlaps = [900, 3600, DAY_S, 7 * DAY_S].filter((seconds) => seconds <= maxOverlap);
  const option = (seconds) =>
    make('option', {
      value: String(seconds),
      textContent: seconds ? fill(texts.ends_after, { duration: duration(seconds) }) : texts.at_once,
    });
  $('overlap').append(...[0, ...overlaps].map(option));
}

tokenForm.addEventListener('change', showExpiry);

onSubmit(tokenForm, async (data) => {
  const body = { expiration_time: expiryOf(data) };
  if (rotated) body.overlap_seconds = Number(data.get('overlap'));
  else Object.assign(body, { name: data.get('name').trim(), scopes: data.getAll('scopes') });
  const created = await makeToken(body);
  isCopied = false;
  tokenForm.hidden = true;
  $('created').hidden = false;
  $('token').value = created.data;
  $('copied').textContent = '';
  say('created-title', texts.created_title, { name: created.name });
  $('created-title').focus();
  showNewest();
});

async function makeToken(body) {
  try {
    const created = await call('POST', rotated ? `private_tokens/${rotated.id}/rotate/` : 'private_tokens/', { body });
    if (typeof created?.data !== 'string') throw new Failure(texts.not_understood);
    return created;
  } catch (error) {
    // 503: the service did nothing. After other failures without an answer of the API, it may have done it.
    const { status, message } = error;
    if (!(status < 400 || status >= 500) || status === 503) throw error;
    showNewest();
    throw new Failure(`${message} ${rotated ? texts.maybe_rotated : texts.maybe_created}`);
  }
}

function showNewest() {
  Object.assign(tokens, { page: 1, query: '', ordering: rotated ? tokens.ordering : tokens.initial });
  $('search').value = '';
  load(tokens);
}

function askToClose() {
  if (isBusy(tokenForm) || $('confirm').open) return;
  confirm({
    title: texts.not_copied_title,
    text: texts.not_copied_text,
    cancel: texts.keep_open,
    submit: texts.close_anyway,
    action: () => {
      closeDialog($('confirm'));
      closeDialog(dialog);
    },
  });
}

dialog.onclosed = () => {
  $('token').value = '';
  tokenForm.reset();
  isCopied = true;
};

function showCopied() {
  isCopied = true;
  $('copied').textContent = texts.copied;
}

$('copy').addEventListener('click', async () => {
  const field = $('token');
  $('copied').textContent = '';
  try {
    await navigator.clipboard.writeText(field.value);
    showCopied();
  } catch {
    // Without https, or without permission. The event `copy` reports success.
    field.select();
    if (!document.execCommand('copy')) $('copied').textContent = texts.copy_failed;
  }
});
$('token').addEventListener('copy', ({ target }) => {
  if (target.selectionEnd - target.selectionStart === target.value.length) showCopied();
});
$('token').addEventListener('focus', ({ target }) => target.select());
$('new-token').addEventListener('click', () => openTokenForm(null));
$('first-token').addEventListener('click', () => openTokenForm(null));

// Sessions

function sessionRow(item) {
  const { id, user_agent: agent, created_at: created, last_used_at: used, expires_at: expiry, current } = item;
  const name = deviceName(agent);
  const device = make('span', { className: 'name', dir: 'auto', textContent: name, title: agent ?? '' });
  const end = () => remove(sessions, item, name, { done: texts.session_ended_name, failed: texts.end_session_failed });
  const label = fill(texts.end_session_name, { name });
  const action = current
    ? make('span', { className: 'badge', textContent: texts.this_session })
    : rowButton(`sessions-remove-${id}`, texts.end_session, label, end, 'remove');
  return rowOf(
    cell(texts.device, device),
    cell(texts.logged_in, timeElement(created)),
    cell(texts.last_used, timeElement(used)),
    cell(texts.expires, timeElement(expiry, 'end')),
    cell('', make('span', { className: 'actions' }, action)),
  );
}

/** A short name for well-known browsers. Any client can send any name. */
function deviceName(agent) {
  if (!agent) return texts.unknown_device;
  const find = (names) => Object.entries(names).find(([part]) => agent.includes(part))?.[1];
  const browser = find({
    'Edg/': 'Edge',
    'OPR/': 'Opera',
    'Firefox/': 'Firefox',
    'Chrome/': 'Chrome',
    'Safari/': 'Safari',
  });
  const system = find({
    Android: 'Android',
    iPhone: 'iPhone',
    iPad: 'iPad',
    Windows: 'Windows',
    'Mac OS X': 'macOS',
    Linux: 'Linux',
  });
  return browser && system ? fill(texts.browser_on_system, { browser, system }) : agent;
}

// Start

addEventListener('hashchange', followHash);
addEventListener('beforeunload', (event) => {
  if (!isCopied || removals.size) event.preventDefault();
});
document.addEventListener('visibilitychange', () => {
  // Another tab may have changed the list.
  if (document.hidden || !session || document.querySelector('dialog[open]')) return;
  for (const list of [tokens, sessions]) if (!list.root.hidden && list.data) load(list, { isQuiet: true });
});
setInterval(() => document.querySelectorAll('time').forEach(paintTime), 30_000);

if (!hasPassword) $('password-link').hidden = true;
addChoices();
showView({ hasFocus: false });
$('email').focus();
