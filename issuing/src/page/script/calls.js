// The token management page.
//
// 1. Tokens are only in `session`, in memory: never in storage, in a URL or in a log. The document never has them,
//    except a new private token, which is shown once.
// 2. Calls that need a refresh at the same time share one. A refresh token is sent again only after a lost answer.
// 3. An answer that arrives after the end of its session is dropped.
// 4. What the API or a user wrote is shown as text. No string becomes markup.

const {
  api,
  max_lifetime: maxLifetime,
  max_overlap: maxOverlap,
  password: hasPassword,
  texts,
} = JSON.parse(document.body.dataset.config);
const BASE = new URL(`${api}/`, document.baseURI);
const PAGE_SIZE = 20;
/** A call without an answer fails after this time. */
const TIMEOUT_MS = 60_000;
/** An access token is refreshed this long before it expires. */
const MARGIN_S = 60;
const DAY_S = 24 * 60 * 60;
/** Undefined if `Intl` rejects it. Then the language of the browser is used. */
const LANGUAGE = (() => {
  try {
    return Intl.getCanonicalLocales(document.documentElement.lang)[0];
  } catch {
    return undefined;
  }
})();

const $ = (id) => document.getElementById(id);

/** A call that failed. `fields` has the messages of the API for each field. Without an answer, the status is 0. */
class Failure extends Error {
  constructor(message, { status = 0, fields = {}, detail } = {}) {
    super(message);
    Object.assign(this, { status, fields, detail });
  }
}

/** The session ended, or a newer call has replaced this one. There is nothing to show. */
class Dropped extends Error {}

/** A failure to show. Other errors come from an answer of another shape. */
const failureFrom = (error) => (error instanceof Failure ? error : new Failure(texts.not_understood));

let session = null;

function adopt(mine, { access_token: access, refresh_token: refresh }) {
  if (typeof access !== 'string' || typeof refresh !== 'string') throw new Failure(texts.not_understood);
  const { exp, iat, scope = '' } = claimsOf(access);
  const scopes = scope.split(' ').filter(Boolean);
  // The clock of this machine can be wrong, so only the lifetime counts.
  const staleAt = performance.now() + (exp - iat - MARGIN_S) * 1000;
  return Object.assign(mine, { access, refresh, scopes, staleAt });
}

function claimsOf(token) {
  const payload = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (byte) => byte.charCodeAt(0))));
}

async function send(method, path, { token, body, signal }) {
  const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  let text;
  try {
    response = await fetch(new URL(path, BASE), {
      method,
      headers,
      body: JSON.stringify(body),
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    text = await response.text();
  } catch {
    throw signal?.aborted ? new Dropped() : new Failure(texts.no_answer);
  }
  const { ok, status } = response;
  const answer = objectOf(text);
  if (!ok) throw failureOf(response, answer);
  if (!answer && status !== 204) throw new Failure(texts.not_understood, { status });
  return answer;
}

/** The JSON object, or null. A proxy can answer with something else. */
function objectOf(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

function failureOf(response, answer) {
  const { status } = response;
  if (status === 400 && answer && !answer.detail) {
    const { non_field_errors: general = [], ...fields } = answer;
    return new Failure([general].flat().map(translated).join(' '), { status, fields });
  }
  if (answer?.code === 'no_active_account') return new Failure(texts.wrong_credentials, { status });
  const known = { 429: texts.throttled, 503: texts.unavailable };
  const message = known[status] ?? (answer?.detail ? translated(answer.detail) : fill(texts.unexpected, { status }));
  const text = [message, retryText(response)].filter(Boolean).join(' ');
  return new Failure(text, { status, detail: answer?.detail });
}

function retryText(response) {
  const header = response.headers.get('Retry-After');
  if (!header) return '';
  const at = /^\d+$/.test(header) ? new Date(Date.now() + header * 1000) : new Date(header);
  const seconds = Math.max(1, Math.round((at - Date.now()) / 1000));
  return Number.isNaN(seconds) ? '' : fill(texts.try_again_in, { duration: duration(seconds), time: clock.format(at) });
}

function refresh(mine) {
  mine.refreshing ??= send('POST', 'refresh/', { body: { refresh_token: mine.refresh } })
    .then((answer) => adopt(mine, answer))
    .finally(() => {
      mine.refreshing = null;
    });
  return mine.refreshing;
}

/** A call with an access token, which is refreshed before it expires, or once if the API rejects it. */
async function authorized(mine, method, path, { body, signal } = {}) {
  if (mine.refreshing || performance.now() >= mine.staleAt) await refresh(mine);
  const token = mine.access;
  const attempt = () => send(method, path, { token: mine.access, body: body?.(mine), signal });
  try {
    return await attempt();
  } catch (error) {
    if (error.status !== 401) throw error;
    if (mine.access === token) await refresh(mine);
    return attempt();
  }
}

/** A call of the session. A session that the API no longer accepts leads back to the log-in. */
async function call(method, path, { body, signal } = {}) {
  const mine = session;
  if (!mine) throw new Dropped();
  const ended = mine.ended.signal;
  try {
    const all = signal ? AbortSignal.any([signal, ended]) : ended;
    const answer = await authorized(mine, method, path, { body: body && (() => body), signal: all });
    if (session !== mine || signal?.aborted) throw new Dropped();
    return answer;
  } catch (error) {
    if (session !== mine) throw new Dropped();
    if (error.status !== 401) throw error;
    endSession({ alert: texts.session_ended });
    throw new Dropped();
  }
}
