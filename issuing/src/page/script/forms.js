// Forms and dialogs.

/** Runs `action` for each submit, but never twice at once. Shows its failure in the form. */
function onSubmit(form, action) {
  const button = form.querySelector('[type=submit]');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (isBusy(form)) return;
    form.ariaBusy = 'true';
    button.ariaDisabled = 'true';
    showErrors(form, new Failure(''));
    try {
      await action(new FormData(form));
    } catch (error) {
      if (!(error instanceof Dropped)) showErrors(form, failureFrom(error));
    } finally {
      form.ariaBusy = 'false';
      button.ariaDisabled = 'false';
    }
  });
}

const isBusy = (form) => form.ariaBusy === 'true';

function showErrors(form, { message, fields }) {
  const others = { ...fields };
  let first = null;
  for (const field of form.querySelectorAll('[data-field]')) {
    const messages = field.hidden ? [] : [others[field.dataset.field] ?? []].flat();
    const error = field.querySelector('.field-error');
    error.textContent = messages.map(translated).join(' ');
    if (messages.length) {
      delete others[field.dataset.field];
      first ??= field.querySelector('input:not([hidden]), select');
    }
    const controls = field.matches('[data-control]') ? [field] : field.querySelectorAll('[data-control]');
    for (const control of controls) {
      const hints = (control.getAttribute('aria-describedby') ?? '').split(' ').filter((id) => id && id !== error.id);
      if (messages.length) hints.unshift(error.id);
      control.setAttribute('aria-invalid', String(messages.length > 0));
      if (hints.length) control.setAttribute('aria-describedby', hints.join(' '));
      else control.removeAttribute('aria-describedby');
    }
  }
  const rest = Object.values(others).flat().map(translated);
  form.querySelector('[data-alert]').textContent = [message, ...rest].filter(Boolean).join(' ');
  first?.focus();
}

/** Opens a dialog. While `mayClose` says no, a user who closes it gets `refuse`. Focus returns to its opener. */
function openDialog(dialog, mayClose = () => true, refuse = () => {}) {
  const opener = document.activeElement?.id;
  Object.assign(dialog, { opener, mayClose, refuse });
  dialog.showModal();
}

function closeDialog(dialog) {
  dialog.mayClose = () => true;
  dialog.close();
}

for (const dialog of document.querySelectorAll('dialog')) {
  const ask = () => {
    dialog.mayClose() ? dialog.close() : dialog.refuse();
  };
  dialog.addEventListener('keydown', (event) => {
    // Browsers let a user close a dialog with a second Escape, whatever the event `cancel` says.
    if (event.key !== 'Escape') return;
    event.preventDefault();
    event.stopPropagation();
    ask();
  });
  dialog.addEventListener('cancel', (event) => {
    event.preventDefault();
    ask();
  });
  dialog.addEventListener('close', () => {
    if (dialog.mayClose()) {
      dialog.onclosed?.();
      if (!session) return;
      focusOn(dialog.opener);
      followHash();
    } else {
      dialog.showModal();
      dialog.refuse();
    }
  });
  for (const button of dialog.querySelectorAll('[data-close]')) button.addEventListener('click', ask);
}

/** Focuses the element, or the heading of the view if the element is gone. */
function focusOn(id) {
  const element = id ? $(id) : null;
  if (element?.checkVisibility()) element.focus();
  else document.querySelector('main > section:not([hidden]) h1').focus();
}

let confirmed = () => {};

function confirm({ title, name = '', text, cancel = texts.cancel, submit, action }) {
  const form = $('confirm-form');
  showErrors(form, new Failure(''));
  say('confirm-title', title, { name });
  $('confirm-text').textContent = text;
  $('confirm-cancel').textContent = cancel;
  $('confirm-submit').textContent = submit;
  confirmed = action;
  openDialog($('confirm'), () => !isBusy(form));
  $('confirm-cancel').focus();
}

onSubmit($('confirm-form'), () => confirmed());
