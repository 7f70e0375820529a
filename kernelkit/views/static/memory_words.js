// What the memory of ranks says in words: figures, what is lacking, what sets the limits. No DOM here.

import { formatBytes, grouped } from "./kit.js";
import { amounts, names } from "./memory_geometry.js";

export function tokens(count) {
  return `${grouped(count)} token${count === 1 ? "" : "s"}`;
}

/** All figures of one line, for its detail and for those who hear it. */
export function spoken(scene, row, context) {
  const group = scene.groups[row.group];
  const { ranks, used, free } = amounts(group, context);
  const named = scene.used_words ? scene.used_words.join(" ") : "others use";
  const others = group.used_bytes === null ? "others' use is not known" : `${named} ${formatBytes(used)}`;
  const left =
    free < 0
      ? `${formatBytes(-free)} are lacking`
      : `${formatBytes(free)} are ${scene.kv_known ? "free" : "free before the KV cache"}`;
  const whole = `${others}; ${left} of ${formatBytes(group.limit_bytes)}, ${group.limit}`;
  if (row.kind === "host") {
    return `${group.host}, shared by ${names(group.ranks.map(({ rank }) => rank))}: ${whole}`;
  }
  const own = ranks[row.nth];
  const { kv_bytes_per_token: perToken, kv_windows: windows } = group.ranks[row.nth];
  const grows = `${formatBytes(perToken)} a token${windows ? " once windows are full" : ""}`;
  const kv =
    own.kv === null
      ? "KV cache not known"
      : `KV cache ${formatBytes(own.kv)} at ${tokens(context)} (${grows})`;
  const parts = [`weights ${formatBytes(own.weights)}`, kv, ...(row.shared ? [] : [whole])];
  return `rank ${row.rank} on ${group.host}: ${parts.join("; ")}`;
}

/** `rank 2 lacks 3.1 GB`, for each limit that is exceeded at this context. */
export function lacking(groups, context) {
  return groups
    .map((group) => ({ ranks: group.ranks.map(({ rank }) => rank), free: amounts(group, context).free }))
    .filter(({ free }) => free < 0)
    .map(({ ranks, free }) => {
      const verb = ranks.length > 1 ? "together lack" : "lacks";
      return `${names(ranks)} ${verb} ${formatBytes(-free)}`;
    });
}

/** That the model was made for shorter contexts; empty where it was not. */
export function beyond(scene, context) {
  const longest = scene.max_context ?? null;
  return longest !== null && context > longest ? `beyond the model's ${tokens(longest)}` : "";
}

/** What sets the limits: once where all have the same, else of which ranks. */
export function limitWords(groups) {
  const ranks = new Map();
  for (const group of groups) {
    ranks.set(group.limit, [...(ranks.get(group.limit) ?? []), ...group.ranks.map(({ rank }) => rank)]);
  }
  const all =
    ranks.size === 1 ? [...ranks.keys()] : [...ranks].map(([limit, mine]) => `${limit} (${names(mine)})`);
  return `limit: ${all.join(", ")}`;
}
