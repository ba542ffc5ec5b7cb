/** A setting with the text that the reference page says about it. Pure. */
import * as v from 'valibot';

/** Adds a description, which changes nothing about what is accepted. */
export const described = <const Field extends v.GenericSchema>(field: Field, text: string) =>
  v.pipe(field, v.description(text));
