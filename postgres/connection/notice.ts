/**
 * Messages of the server that are no errors. Sessions have `client_min_messages = warning`, so what comes is a WARNING, or the
 * INFO that no setting holds back and whose SQLSTATE is 00000. The word "WARNING" itself is translated on a server with
 * another language, and the driver does not hand over the field that is not.
 */

/** Whether a message that the driver gave as `notice` is a WARNING; one without SQLSTATE counts as one. */
export function isWarning({ code }: { readonly code?: string | undefined }): boolean {
  return code !== '00000';
}
