/**
 * Server messages that are not errors. Sessions set `client_min_messages = warning`, so only WARNING arrives, and INFO, which no
 * setting suppresses and whose SQLSTATE is 00000. The server may translate the word "WARNING", and the driver does not expose the
 * untranslated field.
 */

/** Whether a `notice` message of the driver is a WARNING; one without SQLSTATE counts as one. */
export function isWarning({ code }: { readonly code?: string | undefined }): boolean {
  return code !== '00000';
}
