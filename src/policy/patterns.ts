/**
 * Relations between patterns, for validation and merging. Which connection a pattern matches is decided by the rego rules alone; a test holds
 * these functions against them. Patterns are the validated ones: at most one star per segment, `**` alone in a segment for one or more.
 */

/** True when some host matches both. The empty pattern is an endpoint without host and meets every host. */
export function hostsMeet(a: string, b: string): boolean {
  if (a === b || a === "" || b === "") return true;
  if (!a.includes("*") && !b.includes("*")) return false;
  // Most pairs differ in what follows their last star; looking there first keeps large policies cheap.
  const [tailA, tailB] = [a.slice(a.lastIndexOf("*") + 1), b.slice(b.lastIndexOf("*") + 1)];
  if (!tailA.endsWith(tailB) && !tailB.endsWith(tailA)) return false;
  return meet(a.split("."), b.split("."));
}

/** True when some executable path matches both. */
export function pathsMeet(a: string, b: string): boolean {
  if (a === b) return true;
  // Without a star every character is literal.
  if (!a.includes("*") && !b.includes("*")) return false;
  return meet(a.split("/"), b.split("/"));
}

/** True when every host that `inner` matches is matched by `outer`. */
export function hostCovers(outer: string, inner: string): boolean {
  if (outer === inner || outer === "") return true;
  return inner !== "" && outer.includes("*") && covers(outer.split("."), inner.split("."));
}

/** True when every path that `inner` matches is matched by `outer`. */
export function pathCovers(outer: string, inner: string): boolean {
  return outer === inner || (outer.includes("*") && covers(outer.split("/"), inner.split("/")));
}

/** Table over positions: whether the rests `a[i..]` and `b[j..]` have a common word. */
function meet(a: readonly string[], b: readonly string[]): boolean {
  let below: boolean[] = [];
  for (let i = a.length; i >= 0; i--) {
    const row: boolean[] = [];
    for (let j = b.length; j >= 0; j--) {
      const x = a[i];
      const y = b[j];
      if (x === undefined || y === undefined) row[j] = x === y;
      // Take one segment from both; a `**` stays or ends with it.
      else if (x === "**" && y === "**") row[j] = Boolean(below[j + 1] || below[j] || row[j + 1]);
      else if (x === "**") row[j] = Boolean(below[j + 1] || row[j + 1]);
      else if (y === "**") row[j] = Boolean(below[j + 1] || below[j]);
      else row[j] = segmentsMeet(x, y) && Boolean(below[j + 1]);
    }
    below = row;
  }
  return Boolean(below[0]);
}

function segmentsMeet(a: string, b: string): boolean {
  const [headA = "", tailA] = a.split("*");
  const [headB = "", tailB] = b.split("*");
  if (tailA === undefined && tailB === undefined) return a === b;
  if (tailB === undefined) return segmentMatches(a, b);
  if (tailA === undefined) return segmentMatches(b, a);
  return (headA.startsWith(headB) || headB.startsWith(headA)) && (tailA.endsWith(tailB) || tailB.endsWith(tailA));
}

/** Conservative: false when in doubt. A `**` of `inner` is covered only by a `**`. */
function covers(outer: readonly string[], inner: readonly string[]): boolean {
  const deep = outer.indexOf("**");
  if (deep < 0)
    return outer.length === inner.length && !inner.includes("**") && outer.every((segment, i) => segmentCovers(segment, inner[i] ?? ""));
  const tail = outer.slice(deep + 1);
  if (inner.length < deep + tail.length + 1) return false;
  const head = inner.slice(0, deep);
  const end = inner.slice(inner.length - tail.length);
  if (head.includes("**") || end.includes("**")) return false;
  return (
    head.every((segment, i) => segmentCovers(outer[i] ?? "", segment)) && end.every((segment, i) => segmentCovers(tail[i] ?? "", segment))
  );
}

function segmentCovers(outer: string, inner: string): boolean {
  if (outer === inner) return true;
  if (!outer.includes("*")) return false;
  const [head = "", tail = ""] = outer.split("*");
  if (!inner.includes("*")) return segmentMatches(outer, inner);
  const [innerHead = "", innerTail = ""] = inner.split("*");
  return innerHead.startsWith(head) && innerTail.endsWith(tail);
}

function segmentMatches(pattern: string, segment: string): boolean {
  const [head = "", tail = ""] = pattern.split("*");
  return segment.length >= head.length + tail.length && segment.startsWith(head) && segment.endsWith(tail);
}
