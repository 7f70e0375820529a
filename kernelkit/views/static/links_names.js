// Names of hosts that must fit a space: of names that are alike, the parts in which they differ stay. No DOM here.

/** The names as they are if all fit; else without what all end in, then without what all begin with. */
export function shortNames(names, fits) {
  const distinct = [...new Set(names)];
  if (distinct.every((name) => fits(name))) {
    return [...names];
  }
  const end = ending(distinct);
  const stems = distinct.map((name) => name.slice(0, name.length - end));
  const start = stems.length > 1 ? commonStart(stems).replace(/[0-9]+$/, "").length : 0;
  const found = new Map(distinct.map((name, i) => [name, cut(stems[i], start, fits)]));
  for (const text of new Set(found.values())) {
    const same = distinct.filter((name) => found.get(name) === text);
    if (same.length > 1 && same.length < distinct.length) {
      // Those that still look alike differ elsewhere.
      shortNames(same, fits).forEach((short, i) => found.set(same[i], short));
    }
  }
  return names.map((name) => found.get(name));
}

function commonStart(names) {
  let count = 0;
  while (count < names[0].length && names.every((name) => name[count] === names[0][count])) {
    count += 1;
  }
  return names[0].slice(0, count);
}

/** Letters of the domain that several names share, such as `.local`; of addresses no part is one. */
function ending(names) {
  if (names.length < 2) {
    return 0;
  }
  const backwards = commonStart(names.map((name) => [...name].reverse().join("")));
  const shared = [...backwards].reverse().join("");
  const dot = shared.indexOf(".");
  const domain = dot < 0 ? "" : shared.slice(dot);
  const numbered = /^[0-9]+$/.test(domain.slice(domain.lastIndexOf(".") + 1));
  return !numbered && names.every((name) => name.length > domain.length) ? domain.length : 0;
}

/** As much of the common start as there is room for, and the rest; the middle of that goes last. */
function cut(name, start, fits) {
  if (fits(name)) {
    return name;
  }
  const rest = name.slice(start);
  for (let kept = start - 1; kept >= 0; kept -= 1) {
    const text = `${name.slice(0, kept)}…${rest}`;
    if (fits(text)) {
      return text;
    }
  }
  for (let letters = rest.length - 1; letters > 1; letters -= 1) {
    const tail = Math.floor(letters / 2);
    const text = `${rest.slice(0, letters - tail)}…${rest.slice(rest.length - tail)}`;
    if (fits(text)) {
      return text;
    }
  }
  return `${rest.slice(0, 1)}…${rest.slice(-1)}`;
}
