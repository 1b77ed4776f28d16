// Lists of tokens and sessions, in pages.

/** Removals without an answer yet. */
const removals = new Set();

function makeList({ id, path, ordering, failed, row }) {
  const root = $(id);
  const list = { id, path, failed, row, initial: ordering, root, body: root.querySelector('tbody') };
  list.part = (name) => root.querySelector(`[data-${name}]`);
  resetList(list);
  list.part('retry').addEventListener('click', () => load(list));
  for (const button of root.querySelectorAll('[data-sort]')) {
    button.id = `${id}-sort-${button.dataset.sort}`;
    button.addEventListener('click', () => {
      const field = button.dataset.sort;
      list.ordering = list.ordering === field ? `-${field}` : field;
      list.page = 1;
      load(list);
    });
  }
  return list;
}

function resetList(list) {
  list.loading?.abort();
  Object.assign(list, {
    data: null,
    error: null,
    page: 1,
    query: '',
    found: '',
    ordering: list.initial,
    // Hidden rows, and whether their removal still waits for its answer.
    removed: new Map(),
  });
  list.body.replaceChildren();
  for (const name of ['status', 'pages', 'no-match-title', 'failed-reason']) list.part(name)?.replaceChildren();
}

/** Loads the page of the list. A quiet load changes nothing if it fails. */
async function load(list, { isQuiet = false, page = list.page } = {}) {
  list.loading?.abort();
  const loading = new AbortController();
  list.loading = loading;
  if (!isQuiet) {
    list.error = null;
    list.part('list').ariaBusy = 'true';
    list.part('status').textContent = texts.loading;
    render(list);
  }
  const { ordering, query } = list;
  const parameters = new URLSearchParams({ ordering, page, page_size: PAGE_SIZE });
  if (query) parameters.set('q', query);
  try {
    const data = await call('GET', `${list.path}?${parameters}`, { signal: loading.signal });
    // An answer of another shape fails here.
    data.results.forEach(list.row);
    if (!Number.isInteger(data.count)) throw new Failure(texts.not_understood);
    const last = Math.max(1, Math.ceil(data.count / PAGE_SIZE));
    // `found` is the search that these results are for.
    Object.assign(list, { data, error: null, found: query, page: page === 'last' ? last : page });
    // The service knows better which tokens exist.
    for (const [id, isPending] of list.removed) if (!isPending) list.removed.delete(id);
  } catch (error) {
    if (error instanceof Dropped) return;
    if (error.status === 404 && page !== 'last') {
      await load(list, { isQuiet, page: 'last' });
      return;
    }
    if (isQuiet && list.data && list.part('list').ariaBusy !== 'true') return;
    list.error = failureFrom(error);
  }
  list.part('list').ariaBusy = 'false';
  render(list);
}

function render(list) {
  const focused = list.root.contains(document.activeElement) ? document.activeElement.id : null;
  const { data, error, part } = list;
  const isLoading = part('list').ariaBusy === 'true';
  const items = data ? data.results.filter((item) => !list.removed.has(item.id)) : [];
  const count = data ? data.count - (data.results.length - items.length) : 0;
  const isEmpty = !error && data && !count;
  for (const header of list.root.querySelectorAll('th:has([data-sort])')) {
    const field = header.firstElementChild.dataset.sort;
    const direction = { [field]: 'ascending', [`-${field}`]: 'descending' }[list.ordering];
    if (direction) header.setAttribute('aria-sort', direction);
    else header.removeAttribute('aria-sort');
  }
  list.body.replaceChildren(...(data || error ? items.map(list.row) : skeleton(list)));
  list.root.querySelector('table').hidden = Boolean(error || isEmpty);
  part('failed').hidden = !error;
  part('failed-title').textContent = error ? list.failed : '';
  part('failed-reason').textContent = error?.message ?? '';
  const first = (list.page - 1) * PAGE_SIZE + 1;
  const range = fill(texts.range, { first, last: first + items.length - 1, count });
  if (!isLoading) part('status').textContent = error ? '' : count ? range : texts.no_tokens;
  renderPages(list, error || !count ? 0 : Math.ceil(data.count / PAGE_SIZE), range);
  list.onrender?.({ isEmpty, count });
  // The control can be gone or hidden now.
  if (focused) focusOn(focused);
}

function skeleton(list) {
  const columns = list.root.querySelectorAll('th').length;
  return Array.from({ length: 3 }, () => {
    const cells = Array.from({ length: columns }, () => make('td', {}, make('span', { className: 'skeleton' })));
    return make('tr', { className: 'loading', ariaHidden: 'true' }, ...cells);
  });
}

/** The buttons of the first and last page, and of those around this one. */
function renderPages(list, pages, range) {
  const parent = list.part('pages');
  parent.hidden = !pages;
  const button = (name, page, label, disabled) => {
    const element = make('button', { type: 'button', id: `${list.id}-page-${name}`, textContent: label, disabled });
    if (name === page) element.ariaLabel = fill(texts.page, { page });
    if (name === list.page) element.setAttribute('aria-current', 'page');
    element.addEventListener('click', () => {
      list.page = page;
      load(list);
    });
    return element;
  };
  const numbers = Array.from({ length: pages }, (_, index) => index + 1).filter(
    (page) => page === 1 || page === pages || Math.abs(page - list.page) <= 1,
  );
  const parts = [button('previous', list.page - 1, texts.previous, list.page <= 1)];
  for (const [index, page] of numbers.entries()) {
    if (index && page > numbers[index - 1] + 1) parts.push(make('span', { textContent: '…', ariaHidden: 'true' }));
    parts.push(button(page, page, String(page), false));
  }
  parts.push(button('next', list.page + 1, texts.next, list.page >= pages));
  parent.replaceChildren(make('span', { className: 'range', textContent: range }), ...(pages > 1 ? parts : []));
}

function cell(label, ...children) {
  const element = make('td', {}, ...children);
  element.setAttribute('role', 'cell');
  element.dataset.label = label;
  return element;
}

function rowOf(...cells) {
  const row = make('tr', {}, ...cells);
  row.setAttribute('role', 'row');
  return row;
}

function rowButton(id, text, label, onclick, className = '') {
  return make('button', { type: 'button', id, textContent: text, ariaLabel: label, onclick, className });
}

/** Removes the row at once. It comes back if the call fails. */
function remove(list, item, name, messages) {
  clearMessages();
  const ids = [...list.body.querySelectorAll('button.remove')].map((button) => button.id);
  const at = ids.indexOf(`${list.id}-remove-${item.id}`);
  list.removed.set(item.id, true);
  render(list);
  const next = ids[at + 1] ?? ids[at - 1];
  focusOn(next);
  // The question closes after this, and returns the focus.
  $('confirm').opener = next;
  const removal = finishRemoval(list, item.id, name, messages).finally(() => removals.delete(removal));
  removals.add(removal);
}

/** The end of the session does not stop the call, so that a removal that failed is never silent. */
async function finishRemoval(list, id, name, { done, failed }) {
  const mine = session;
  let failure = null;
  try {
    await authorized(mine, 'DELETE', `${list.path}${id}/`);
  } catch (error) {
    if (error.status === 401 && session === mine) endSession({ alert: texts.session_ended });
    // The answer of the API for a row that is gone. A proxy gives other ones.
    if (error.status !== 404 || error.detail !== 'Not found.') failure = failureFrom(error);
  }
  if (failure && (!session || session === mine)) {
    addAlert(failed, { name, reason: failure.status === 401 ? '' : failure.message });
  }
  if (session !== mine) return;
  if (failure) list.removed.delete(id);
  else {
    list.removed.set(id, false);
    say('page-status', done, { name });
  }
  render(list);
  void load(list, { isQuiet: true });
}

/** Removals need the session, so its end waits for their answers. */
async function removalsEnd() {
  clearMessages();
  if (!removals.size) return;
  say('page-status', texts.log_out_waits);
  while (removals.size) await Promise.allSettled(removals);
  say('page-status', '');
}
