import { describe, expect, it } from 'vitest';
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { FailureCode } from '../../contract/failure-catalogue.ts';
import { connectFailure } from '../../postgres/connection/connect-failure.ts';
import { classify, sqlstate } from '../../postgres/connection/failure.ts';

const MARKER = 'row value 4711';

function serverError(state: string): pg.DatabaseError {
  const error = new pg.DatabaseError(`server text with ${MARKER}`, 10, 'error');
  return Object.assign(error, {
    code: state,
    detail: `Key (id)=(${MARKER})`,
    where: MARKER,
    constraint: 'c_pkey',
  });
}

function systemError(code: string, message = 'text'): Error {
  return Object.assign(new Error(message), { code });
}

describe('a failure is classified by its code, never by the text of the server', () => {
  it.each<[string, FailureCode]>([
    ['08006', 'Unreachable'],
    ['57P01', 'Unreachable'],
    ['57P03', 'Unreachable'],
    ['40001', 'Contention'],
    ['40P01', 'Contention'],
    ['55P03', 'Contention'],
    ['53300', 'Contention'],
    ['55006', 'SlotBusy'],
    ['42501', 'Denied'],
    ['28P01', 'Denied'],
    ['28000', 'Denied'],
    ['3D000', 'InvalidService'],
    ['23505', 'CopyFailed'],
    ['22P02', 'CopyFailed'],
  ])('SQLSTATE %s is %s', (state, code) => {
    const failure = classify(
      serverError(state),
      { step: 'copying', table: 'public.t' },
      'CopyFailed',
    );
    expect(failure).toMatchObject({
      code,
      details: { sqlstate: state, table: 'public.t', constraint: 'c_pkey' },
    });
    expect(failure.message).toContain('copying (table public.t, constraint c_pkey)');
    expect(failure.message).toContain(state);
    expect(failure.message + JSON.stringify(failure.details)).not.toContain(MARKER);
  });

  it.each<[Error, FailureCode]>([
    [systemError('ECONNREFUSED'), 'Unreachable'],
    [systemError('ECONNRESET'), 'Unreachable'],
    [systemError('EPIPE'), 'Unreachable'],
    [new Error('Connection terminated unexpectedly'), 'Unreachable'],
    [new Error('timeout expired'), 'Unreachable'],
    [systemError('SELF_SIGNED_CERT_IN_CHAIN'), 'InvalidService'],
    [systemError('ERR_TLS_CERT_ALTNAME_INVALID'), 'InvalidService'],
    [new Error('The server does not support SSL connections'), 'InvalidService'],
    [new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'), 'Denied'],
    [new TypeError(`cannot read ${MARKER}`), 'Internal'],
  ])('%s is %s', (error, code) => {
    const failure = classify(error, { side: 'target' }, 'Internal');
    expect(failure.code).toBe(code);
    expect(failure.message).toContain('on the target');
    expect(failure.message).not.toContain(MARKER);
  });

  it('a missing password is reported once for both modes, without a class name after it', () => {
    const error = new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string');
    const endpoint = { service: 'orders', host: '127.0.0.1', port: 5432 };
    const failure = (other: Error) =>
      connectFailure(endpoint, [
        { way: 'tls', error },
        { way: 'plain', error: other },
      ]).message;
    const sentence =
      'connecting to service "orders" at 127.0.0.1:5432: the server asks for a password, and the worker has none for it (PGPASSFILE)';
    expect(failure(error)).toBe(sentence);
    expect(failure(systemError('ECONNRESET'))).toContain('; without TLS the database did not');
  });

  it('a classified failure passes through unchanged', () => {
    const first = new MigrationError('Fenced', 'overtaken');
    expect(classify(first, { step: 'x' }, 'Internal')).toBe(first);
  });

  it('only a server has SQLSTATEs', () => {
    expect(sqlstate(serverError('23505'))).toBe('23505');
    expect(sqlstate(systemError('23505'))).toBeUndefined();
    expect(sqlstate(null)).toBeUndefined();
  });
});
