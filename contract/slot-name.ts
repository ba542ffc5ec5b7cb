/** How the replication slot of a migration is named. */

/** PostgreSQL cuts names at 63 bytes; slot names take lower-case letters, digits and underscores only. */
const SLOT_NAME_BYTES = 63;
const HASH_DIGITS = 16;

/** All slots of one workflow id begin with this, for any run: leftovers are found by it. */
export function slotPrefix(workflowId: string): string {
  const readable = workflowId.toLowerCase().replace(/[^a-z0-9_]/g, '_');
  const room = SLOT_NAME_BYTES - 'walferry_'.length - 1 - HASH_DIGITS;
  return `walferry_${readable.slice(0, room)}_`;
}

/**
 * The slot of a migration: `walferry_<workflow id>_<hash of workflow id and run>`, within 63 bytes. The hash keeps two
 * runs apart, and two workflow ids whose readable parts are the same after cutting and replacing.
 */
export function slotName(workflowId: string, id: string): string {
  return (
    slotPrefix(workflowId) +
    hash64(`${workflowId}\u0000${id}`).toString(16).padStart(HASH_DIGITS, '0')
  );
}

/** FNV-1a, 64 bits: pure, because workflow code has no Node builtins. A name, not a protection. */
function hash64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  }
  return hash;
}
