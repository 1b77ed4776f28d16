// The token API in the memory of a test, for states that the real service cannot reach quickly: many tokens, dates in
// the past, failures. Tests of the contract use the real service.

const SCOPES = ['invoices:read', 'orders:read', 'orders:write', 'tokens:admin'];
const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

export const NOW = new Date('2026-11-27T09:30:00+01:00');

const ago = (ms) => new Date(NOW - ms).toISOString();

export const TOKENS = [
  { name: 'CI deploys', scopes: ['orders:read', 'orders:write'], age: 12 * DAY, left: 78 * DAY, used: 4 * 60 * 1000 },
  {
    name: 'Nightly export to the data warehouse',
    scopes: ['invoices:read', 'orders:read'],
    age: 84 * DAY,
    left: 3 * DAY,
    used: 6.5 * HOUR,
  },
  { name: 'Grafana', scopes: ['orders:read'], age: 200 * DAY, left: 165 * DAY, used: 26 * HOUR },
  { name: 'Backup script on db-3', scopes: [], age: 30 * DAY, left: 335 * DAY },
  {
    name: 'Old staging cluster',
    scopes: ['orders:read', 'orders:write', 'invoices:read'],
    age: 92 * DAY,
    left: -2 * DAY,
    used: 9 * DAY,
  },
].map(({ name, scopes, age, left, used }, index) => ({
  id: index + 1,
  name,
  scopes,
  created_at: ago(age),
  expiration_time: ago(-left),
  last_used_at: used ? ago(used) : null,
}));

const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1',
  'acme-deploy/2.4',
];

export const SESSIONS = AGENTS.map((agent, index) => ({
  id: index + 1,
  user_agent: agent,
  created_at: ago((index * 50 + 1) * HOUR),
  last_used_at: ago(index * 7 * HOUR),
  expires_at: ago(index * 7 * HOUR - DAY),
  current: index === 0,
}));

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Looks like an access token. Only the page reads it. */
const accessToken = (scopes) =>
  [part({ typ: 'at+jwt' }), part({ iat: 1, exp: 3601, scope: scopes.join(' ') }), 'c2lnbmF0dXJl'].join('.');

const NEW_TOKEN = `${part({ alg: 'ES256', typ: 'at+jwt' })}.${part({ sub: '7', token_type: 'private' })}.c2lnbmF0dXJl`;

const paged = (items, parameters) => {
  const [size, page] = [Number(parameters.get('page_size')), Number(parameters.get('page'))];
  return { count: items.length, next: null, previous: null, results: items.slice((page - 1) * size, page * size) };
};

/** Answers the calls of the page. `answers` replaces answers: a name such as "GET private_tokens/" and a function. */
export const fakeApi = async (page, { tokens = TOKENS, sessions = SESSIONS, scopes = SCOPES, answers = {} } = {}) => {
  const pair = () => ({ access_token: accessToken(scopes), refresh_token: 'refresh' });
  const defaults = {
    'POST login/': () => ({ email: 'ada@example.org', ...pair() }),
    'POST refresh/': pair,
    'GET private_tokens/': (parameters) => {
      const query = parameters.get('q')?.toLowerCase() ?? '';
      return paged(
        tokens.filter(({ name }) => name.toLowerCase().includes(query)),
        parameters,
      );
    },
    'GET sessions/': (parameters) => paged(sessions, parameters),
    'POST private_tokens/': (_, { name }) => ({ id: 99, name, data: NEW_TOKEN }),
    'POST private_tokens/rotate/': () => ({ id: 99, name: 'rotated', data: NEW_TOKEN }),
  };
  await page.route('**/api/v1/auth/**', async (route) => {
    const request = route.request();
    const url = new URL(request.url());
    const path = url.pathname.replace('/api/v1/auth/', '').replace(/\d+\//, '');
    const name = `${request.method()} ${path}`;
    const answer = answers[name] ?? defaults[name] ?? (() => null);
    const json = await answer(url.searchParams, request.postDataJSON(), route);
    if (json === undefined) return;
    if (json === null) await route.fulfill({ status: 204 });
    else await route.fulfill({ status: request.method() === 'POST' && path.startsWith('private') ? 201 : 200, json });
  });
};
