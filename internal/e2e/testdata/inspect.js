// What is wrong with the page that is shown, as a list of sentences. touch says
// that it is used with a finger.
(touch) => {
  const wrong = [];
  const root = document.documentElement;
  const shown = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const told = (e) => e.tagName.toLowerCase() + ' "' + (e.innerText || e.value || '').trim().slice(0, 40) + '"';

  if (!root.lang) wrong.push('html has no lang');
  if (!document.title.trim()) wrong.push('no title');
  if (!document.querySelector('meta[name=viewport]')) wrong.push('no viewport');
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  if (!document.querySelector('main')) wrong.push('no main');
  if (root.scrollWidth > root.clientWidth) wrong.push(`content is ${root.scrollWidth} wide in ${root.clientWidth}`);
  for (const e of document.querySelectorAll('[id]')) {
    if (document.querySelectorAll('#' + CSS.escape(e.id)).length > 1) wrong.push(`id ${e.id} twice`);
  }

  // A target is large enough for a finger, unless it is inside a sentence.
  for (const e of touch ? document.querySelectorAll('a[href], button, input:not([type=hidden]), summary') : []) {
    const box = e.getBoundingClientRect();
    if (shown(e) && getComputedStyle(e).display !== 'inline' && box.height < 44) {
      wrong.push(`${told(e)} is ${Math.round(box.height)} high, less than 44`);
    }
  }

  // WCAG 2.2, 1.4.3: contrast of text with what is behind it. A canvas reads
  // colours, whatever their notation.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const over = (below, color) => {
    canvas.clearRect(0, 0, 1, 1);
    if (below) {
      canvas.fillStyle = `rgb(${below.join()})`;
      canvas.fillRect(0, 0, 1, 1);
    }
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
    return layers.reduce(over, over(null, matchMedia('(prefers-color-scheme: dark)').matches ? '#121212' : '#fff'));
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !shown(e) || e.closest('svg, [aria-hidden=true], :disabled')) continue;
    const style = getComputedStyle(e), behind = background(e);
    const [a, b] = [luminance(over(behind, style.color)), luminance(behind)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
    const least = size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5;
    if (ratio < least) wrong.push(`${told(e)} has a contrast of ${ratio.toFixed(2)}, less than ${least}`);
  }
  return [...new Set(wrong)];
}
