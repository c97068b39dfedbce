'use strict';
(function () {
  function all(selector, f) {
    Array.prototype.forEach.call(document.querySelectorAll(selector), f);
  }

  // Texts to copy.
  if (navigator.clipboard) {
    all('[data-copy]', function (button) {
      button.hidden = false;
      button.addEventListener('click', function () {
        navigator.clipboard.writeText(button.getAttribute('data-copy')).then(function () {
          button.textContent = 'Copied';
        }, function () {
          button.hidden = true;
        });
      });
    });
  }

  // A Mac with a touch screen is an iPad, or an iPhone that asks for desktop
  // websites: its button comes first, and is pressed, once in a tab. Where cookies
  // are off that leads back here.
  all('.holding', function (card) {
    if (!(navigator.maxTouchPoints > 1) || !/Mac|iP(hone|ad|od)/.test(navigator.platform)) {
      return;
    }
    card.classList.add('touch');
    card.querySelector('h2').textContent = 'You seem to be holding it';
    card.parentNode.insertBefore(card, card.parentNode.querySelector('.card'));
    try {
      if (!sessionStorage.getItem('device')) {
        sessionStorage.setItem('device', '1');
        card.querySelector('form').submit();
      }
    } catch (e) { // without storage it is for the person to press
    }
  });

  // A link to one problem opens it.
  function reveal() {
    var target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === 'DETAILS') {
      target.open = true;
    }
  }
  window.addEventListener('hashchange', reveal);
  reveal();

  // The story of the ticket.
  var story = document.querySelector('[data-events]');
  if (!story) {
    return;
  }
  var text = story.querySelector('[data-text]');
  var clock = story.querySelector('[data-clock]');
  var bar = story.querySelector('[data-bar]');
  var end = 0;
  var of = 0;

  function start(left, whole) {
    end = left > 0 ? Date.now() + left * 1000 : 0;
    of = whole;
    tick();
  }

  function tick() {
    var left = end ? Math.max(0, Math.ceil((end - Date.now()) / 1000)) : 0;
    var running = left > 0 && of > 0;
    clock.hidden = bar.hidden = !running;
    if (running) {
      clock.textContent = Math.floor(left / 60) + ':' + ('0' + left % 60).slice(-2);
      bar.value = left / of;
    }
  }

  function show(ticket) {
    if (ticket.over) {
      location.reload();
      return true;
    }
    if (text.textContent !== ticket.text) {
      text.textContent = ticket.text;
    }
    story.setAttribute('data-state', ticket.state);
    start(ticket.left, ticket.of);
    return false;
  }

  start(Number(story.getAttribute('data-left')), Number(story.getAttribute('data-of')));
  setInterval(tick, 500);

  // iOS stops a page that is not seen: each time it is seen again the story is
  // asked for anew.
  var source = null;
  function listen() {
    if (source) {
      source.close();
      source = null;
    }
    if (document.hidden || !window.EventSource) {
      return;
    }
    source = new EventSource(story.getAttribute('data-events'));
    source.addEventListener('ticket', function (event) {
      if (show(JSON.parse(event.data))) {
        source.close();
      }
    });
  }
  document.addEventListener('visibilitychange', listen);
  window.addEventListener('pageshow', function (event) {
    if (event.persisted) {
      listen();
    }
  });
  window.addEventListener('pagehide', function () {
    if (source) {
      source.close();
    }
  });
  listen();
})();
