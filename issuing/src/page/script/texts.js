// Texts, dates and elements.

const clock = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: 'medium' });
const exact = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'full', timeStyle: 'long' });
const longDate = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'full' });
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'always' });
const now = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'auto' }).format(0, 'second');
/** Units with their seconds, and from how many seconds each is used. */
const UNITS = [
  ['year', 365 * DAY_S, 350 * DAY_S],
  ['month', 30.44 * DAY_S, 100 * DAY_S],
  ['day', DAY_S, 0.99 * DAY_S],
  ['hour', 3600, 3590],
  ['minute', 60, 59],
  ['second', 1, 1],
];

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** Fills an element like `fill`. Each value is in a `bdi`, so that its direction does not change the rest. */
function fillElement(element, text, values) {
  element.replaceChildren(
    ...text.split(/(\{\w+\})/).map((part) => {
      const name = /^\{(\w+)\}$/.exec(part)?.[1];
      return name ? make('bdi', { textContent: values[name] }) : part;
    }),
  );
}

/** The texts of the author can replace a message of the API: the name is `api:` and the message. */
const translated = (message) => texts[`api:${message}`] ?? message;

function duration(seconds) {
  const [unit, size] = UNITS.find(([, , from]) => seconds >= from) ?? UNITS.at(-1);
  const style = { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 };
  return new Intl.NumberFormat(LANGUAGE, style).format(seconds / size);
}

function inWords(date) {
  const seconds = (date - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, , from]) => Math.abs(seconds) >= from) ?? [];
  return !unit || unit === 'second' ? now : relative.format(Math.round(seconds / size), unit);
}

/** A date in words, with the exact time as title. `kind` is `past`, `end` or `expiry`. A near expiry is a warning. */
function timeElement(time, kind = 'past') {
  const element = make('time', { dateTime: time, title: exact.format(new Date(time)) });
  element.dataset.kind = kind;
  paintTime(element);
  return element;
}

function paintTime(element) {
  const date = new Date(element.dateTime);
  const when = inWords(date);
  const { kind } = element.dataset;
  const left = (date - Date.now()) / 1000;
  element.textContent = kind === 'past' ? when : fill(left > 0 ? texts.expires_when : texts.expired, { when });
  if (kind === 'expiry') element.className = left <= 0 ? 'expired' : left < 7 * DAY_S ? 'soon' : '';
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function say(id, text, values = {}) {
  fillElement($(id), text, values);
}

/** Adds a line: several removals can fail. */
function addAlert(text, values = {}) {
  const line = make('div');
  fillElement(line, text, values);
  $('page-alert').append(line);
}

function clearMessages() {
  for (const id of ['page-status', 'page-alert']) $(id).replaceChildren();
}
